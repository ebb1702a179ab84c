/* SPDX-License-Identifier: Apache-2.0 */
/* Walking the tree for one event; see internal.h. */
#include "cel/cel.h"
#include "cel/internal.h"

static struct cel_value
eval(struct cel_run *run, const struct cel_node *node, const struct cel_scope *scope);

static bool
is_error(struct cel_value value)
{
    return value.type == CEL_ERROR;
}

static struct cel_value
eval_ident(struct cel_run *run, const struct cel_node *node, const struct cel_scope *scope)
{
    for (; scope != NULL; scope = scope->outer)
        if (slice_eq(scope->name, node->name))
            return scope->value;
    return cel_fail(run, "there is no such variable");
}

static struct cel_value
eval_select(struct cel_run *run, const struct cel_node *node, const struct cel_scope *scope)
{
    struct cel_value map = eval(run, node->args[0], scope);
    if (is_error(map))
        return map;
    if (map.type != CEL_MAP)
        return cel_fail(run, "only maps have fields");
    struct cel_value member = cel_member(run, &map, node->name);
    if (node->kind == NODE_HAS)
        return run->error != NULL ? member : cel_bool(!is_error(member));
    return is_error(member) ? cel_fail(run, "there is no such key") : member;
}

static struct cel_value
eval_index(struct cel_run *run, const struct cel_node *node, const struct cel_scope *scope)
{
    struct cel_value from = eval(run, node->args[0], scope);
    struct cel_value at = is_error(from) ? from : eval(run, node->args[1], scope);
    if (is_error(at))
        return at;
    if (from.type == CEL_MAP && at.type == CEL_STRING) {
        struct cel_value member = cel_member(run, &from, at.text);
        return is_error(member) ? cel_fail(run, "there is no such key") : member;
    }
    if (from.type != CEL_LIST || (at.type != CEL_INT && at.type != CEL_DOUBLE))
        return cel_fail(run, "such a value has no index");
    if (!cel_items(run, &from))
        return (struct cel_value){ .type = CEL_ERROR };
    double index = at.type == CEL_INT ? (double)at.number : at.real;
    if (!(index >= 0 && index < (double)from.count) || index != (double)(size_t)index)
        return cel_fail(run, "the index is out of range");
    return from.items[(size_t)index];
}

/* An error on one side does not count where the other side decides. */
static struct cel_value
eval_logic(struct cel_run *run, const struct cel_node *node, const struct cel_scope *scope)
{
    bool decides = node->kind == NODE_OR;
    const char *error = run->error;
    struct cel_value a = eval(run, node->args[0], scope);
    if (a.type == CEL_BOOL && a.truth == decides)
        return a;
    const char *first = run->error;
    run->error = error;
    struct cel_value b = eval(run, node->args[1], scope);
    if (b.type == CEL_BOOL && b.truth == decides) {
        run->error = error;
        return b;
    }
    if (a.type == CEL_BOOL && b.type == CEL_BOOL)
        return b;
    if (first != NULL)
        run->error = first;
    return cel_fail(run, "a condition is no bool");
}

static struct cel_value
eval_ternary(struct cel_run *run, const struct cel_node *node, const struct cel_scope *scope)
{
    struct cel_value condition = eval(run, node->args[0], scope);
    if (is_error(condition))
        return condition;
    if (condition.type != CEL_BOOL)
        return cel_fail(run, "a condition is no bool");
    return eval(run, node->args[condition.truth ? 1 : 2], scope);
}

static struct cel_value
eval_unary(struct cel_run *run, const struct cel_node *node, const struct cel_scope *scope)
{
    struct cel_value value = eval(run, node->args[0], scope);
    if (is_error(value))
        return value;
    if (node->kind == NODE_NOT)
        return value.type == CEL_BOOL ? cel_bool(!value.truth)
                                      : cel_fail(run, "only a bool can be negated");
    if (value.type == CEL_DOUBLE)
        return (struct cel_value){ .type = CEL_DOUBLE, .real = -value.real };
    if (value.type != CEL_INT || value.number == INT64_MIN)
        return cel_fail(run, "the value cannot be negated");
    return cel_int(-value.number);
}

static struct cel_value
eval_list(struct cel_run *run, const struct cel_node *node, const struct cel_scope *scope)
{
    struct cel_value *items = cel_alloc(run, (node->count + 1) * sizeof *items);
    for (size_t i = 0; items != NULL && i < node->count; i++)
        if (is_error(items[i] = eval(run, node->args[i], scope)))
            return items[i];
    if (items == NULL)
        return (struct cel_value){ .type = CEL_ERROR };
    return (struct cel_value){ .type = node->kind == NODE_LIST ? CEL_LIST : CEL_MAP,
                               .items = items,
                               .count = node->count };
}

static struct cel_value
eval_binary(struct cel_run *run, const struct cel_node *node, const struct cel_scope *scope)
{
    struct cel_value a = eval(run, node->args[0], scope);
    struct cel_value b = is_error(a) ? a : eval(run, node->args[1], scope);
    return is_error(b) ? b : cel_binary(run, node->name, &a, &b);
}

static struct cel_value
eval_call(struct cel_run *run, const struct cel_node *node, const struct cel_scope *scope)
{
    struct cel_value args[CEL_ARGS_MAX];
    for (size_t i = 0; i < node->count; i++)
        if (is_error(args[i] = eval(run, node->args[i], scope)))
            return args[i];
    return cel_call(run, node, args, node->count);
}

/* --- macros ------------------------------------------------------------------------------------*/

/* all, exists, exists_one: an error counts only where no other element decides. */
static struct cel_value
eval_quantifier(struct cel_run *run, const struct cel_node *node, struct cel_scope *inner,
                const struct cel_value *list, size_t step)
{
    bool is_all = slice_eq(node->name, SLICE("all"));
    bool is_one = slice_eq(node->name, SLICE("exists_one"));
    size_t hits = 0;
    const char *before = run->error, *error = NULL;
    for (size_t i = 0; i < list->count; i += step) {
        inner->value = list->items[i];
        struct cel_value truth = eval(run, node->args[1], inner);
        if (truth.type != CEL_BOOL) {
            error = run->error == NULL ? "a condition is no bool" : run->error;
            run->error = before;
            if (is_one || run->steps > CEL_STEPS_MAX)
                break;
            continue;
        }
        if (is_all ? !truth.truth : truth.truth && !is_one)
            return cel_bool(!is_all);
        hits += truth.truth;
    }
    if (error != NULL)
        return cel_fail(run, error);
    return cel_bool(is_one ? hits == 1 : is_all);
}

/* filter and map. */
static struct cel_value
eval_transform(struct cel_run *run, const struct cel_node *node, struct cel_scope *inner,
               const struct cel_value *list, size_t step)
{
    bool is_map = slice_eq(node->name, SLICE("map"));
    struct cel_value *items = cel_alloc(run, (list->count + 1) * sizeof *items);
    size_t count = 0;
    for (size_t i = 0; items != NULL && i < list->count; i += step) {
        inner->value = list->items[i];
        struct cel_value result = eval(run, node->args[1], inner);
        if (is_error(result))
            return result;
        if (!is_map && result.type != CEL_BOOL)
            return cel_fail(run, "a condition is no bool");
        if (is_map)
            items[count++] = result;
        else if (result.truth)
            items[count++] = inner->value;
    }
    if (items == NULL)
        return (struct cel_value){ .type = CEL_ERROR };
    return (struct cel_value){ .type = CEL_LIST, .items = items, .count = count };
}

static struct cel_value
eval_macro(struct cel_run *run, const struct cel_node *node, const struct cel_scope *scope)
{
    struct cel_value list = eval(run, node->args[0], scope);
    struct cel_scope inner = { .name = node->variable, .outer = scope };
    if (is_error(list))
        return list;
    if (list.type != CEL_LIST && list.type != CEL_MAP)
        return cel_fail(run, "a macro wants a list or a map");
    if (!cel_items(run, &list))
        return (struct cel_value){ .type = CEL_ERROR };
    size_t step = list.type == CEL_MAP ? 2 : 1; /* the keys of a map */
    bool transforms = slice_eq(node->name, SLICE("map")) || slice_eq(node->name, SLICE("filter"));
    return transforms ? eval_transform(run, node, &inner, &list, step)
                      : eval_quantifier(run, node, &inner, &list, step);
}

/* --- all ---------------------------------------------------------------------------------------*/

static struct cel_value
eval(struct cel_run *run, const struct cel_node *node, const struct cel_scope *scope)
{
    if (++run->steps > CEL_STEPS_MAX)
        return cel_fail(run, "the evaluation takes too long");
    switch (node->kind) {
    case NODE_LITERAL:
        return node->literal;
    case NODE_IDENT:
        return eval_ident(run, node, scope);
    case NODE_SELECT:
    case NODE_HAS:
        return eval_select(run, node, scope);
    case NODE_INDEX:
        return eval_index(run, node, scope);
    case NODE_CALL:
        return eval_call(run, node, scope);
    case NODE_LIST:
    case NODE_MAP:
        return eval_list(run, node, scope);
    case NODE_NOT:
    case NODE_NEGATE:
        return eval_unary(run, node, scope);
    case NODE_AND:
    case NODE_OR:
        return eval_logic(run, node, scope);
    case NODE_TERNARY:
        return eval_ternary(run, node, scope);
    case NODE_BINARY:
        return eval_binary(run, node, scope);
    case NODE_MACRO:
    default:
        return eval_macro(run, node, scope);
    }
}

enum cel_result
cel_matches(const struct cel_program *program, struct arena *arena, struct slice event)
{
    struct cel_run run = { .arena = arena };
    const struct cel_scope scope = { .name = SLICE("event"), .value = cel_of_json(&run, event) };
    struct cel_value value = eval(&run, program->root, &scope);
    if (value.type != CEL_BOOL)
        return CEL_FAILED;
    return value.truth ? CEL_TRUE : CEL_FALSE;
}
