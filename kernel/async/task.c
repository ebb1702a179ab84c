/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Task switching and waiting; see task.h. A stack is entered once through makecontext(), later
 * through _longjmp() (28 ns against 766 ns of swapcontext(), which saves the signal mask with a
 * system call). glibc's fortified longjmp() refuses to jump "up" into another stack, so this file
 * alone is compiled without _FORTIFY_SOURCE.
 */
#include "async/task.h"

#include <assert.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "async/worker.h"
#include "base/clock.h"
#include "base/inject.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/sanitize.h"

#ifdef HAS_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef HAS_TSAN
#include <sanitizer/tsan_interface.h>
#endif

enum {
    TASK_MAGIC = 0x7461736b,
    GUARD_BYTES = 4096,
    LOOK_MS = 1000, /* at stacks that nobody has needed */
};

enum task_state { TASK_SPARE, TASK_READY, TASK_RUNNING, TASK_PARKED, TASK_ENDED };

struct task {
    unsigned magic;
    enum task_state state;
    bool has_context; /* the stack has been entered before: ctx is valid */
    bool is_cancelled;
    bool is_winding_down;
    unsigned shields;
    unsigned begun;
    struct worker *worker;
    const char *name;
    task_fn *fn;
    void *arg;
    struct arena arena;
    struct diag diag;
    uint64_t deadline_ms;
    struct timer timer; /* the deadline, armed while parked */
    struct wait *waiting;
    const char *wait_function;
    int wait_line;
    uint64_t wait_since_ms;
    struct list all_link;
    struct list ready_link;
    jmp_buf ctx;
    void *frame; /* where it parked, for tools/gdb/tasks.py: the jump buffer is scrambled */
    void *base;  /* of the mapping */
#ifdef HAS_ASAN
    void *fake_stack;
#endif
#ifdef HAS_TSAN
    void *fiber;
#endif
};

/* What belongs to the loop's side of a switch. */
struct task_switch {
    jmp_buf loop_ctx;
    ucontext_t first_entry; /* used once a stack */
    struct task *current;
    uint64_t last_ms; /* end of the previous slice */
#ifdef HAS_ASAN
    void *fake_stack;
    const void *loop_bottom;
    size_t loop_size;
#endif
#ifdef HAS_TSAN
    void *fiber;
#endif
};

static __thread struct task *running;

struct task *
task_current(void)
{
    return running;
}

/* Of all workers. Relaxed: only the number counts, nothing is published with it. */
static atomic_uint stack_count;

/* --- stacks ------------------------------------------------------------------------------------*/

static void on_look(struct timer *timer);

void
task_pool_init(struct task_pool *pool)
{
    list_init(&pool->all);
    list_init(&pool->ready);
    list_init(&pool->spare);
    pool->count = pool->count_max = pool->spare_count = pool->spare_least = 0;
    timer_init(&pool->look, on_look);
    pool->switching = calloc(1, sizeof *pool->switching);
    if (pool->switching == NULL)
        abort();
}

static void
task_free(struct task *t)
{
    arena_fini(&t->arena);
#ifdef HAS_TSAN
    __tsan_destroy_fiber(t->fiber);
#endif
    t->magic = 0;
    /* A sanitizer has marked the frames it never left; who is mapped here next must not see that.
     */
    memory_roots_end(t, sizeof *t);
    memory_allow(t->base, LIMIT_task_stack_bytes);
    (void)munmap(t->base, LIMIT_task_stack_bytes); /* fails only for wrong arguments */
    atomic_fetch_sub_explicit(&stack_count, 1, memory_order_relaxed);
}

void
task_pool_fini(struct task_pool *pool)
{
    assert(list_is_empty(&pool->all));
    struct list *node;
    while ((node = list_take_first(&pool->spare)) != NULL)
        task_free(LIST_ENTRY(node, struct task, all_link));
    free(pool->switching);
    pool->switching = NULL;
}

static char *
map_stack(void)
{
    char *base = mmap(NULL, LIMIT_task_stack_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    if (mprotect(base, GUARD_BYTES, PROT_NONE) != 0) {
        (void)munmap(base, LIMIT_task_stack_bytes); /* nothing more can be done */
        return NULL;
    }
    return base;
}

/* The task stands at the high end of its own stack, so that a shallow task touches one page. */
static struct task *
task_new(void)
{
    unsigned others = atomic_fetch_add_explicit(&stack_count, 1, memory_order_relaxed);
    char *base = others < LIMIT_task_stacks_max ? map_stack() : NULL;
    if (base == NULL) {
        atomic_fetch_sub_explicit(&stack_count, 1, memory_order_relaxed);
        return NULL;
    }
    uintptr_t top = (uintptr_t)base + LIMIT_task_stack_bytes - sizeof(struct task);
    struct task *t = (struct task *)(top & ~(uintptr_t)63);
    *t = (struct task){ .magic = TASK_MAGIC, .base = base };
    memory_roots_begin(t, sizeof *t);
    arena_init(&t->arena);
    list_init(&t->ready_link);
#ifdef HAS_TSAN
    t->fiber = __tsan_create_fiber(0);
#endif
    return t;
}

static struct task *
take_task(struct task_pool *pool)
{
    struct list *node = list_take_first(&pool->spare);
    if (node == NULL)
        return task_new();
    pool->spare_count--;
    if (pool->spare_count < pool->spare_least)
        pool->spare_least = pool->spare_count;
    return LIST_ENTRY(node, struct task, all_link);
}

/* Mapping a stack costs more than what most tasks do, so a load that comes in waves keeps its
 * stacks; what was spare for a whole second is given back. */
static void
on_look(struct timer *timer)
{
    struct task_pool *pool = container_of(timer, struct task_pool, look);
    struct worker *worker = container_of(pool, struct worker, tasks);
    for (size_t n = pool->spare_least; n > 0 && pool->spare_count > LIMIT_task_stacks_pooled; n--) {
        struct list *node = list_take_first(&pool->spare);
        if (node == NULL)
            break;
        task_free(LIST_ENTRY(node, struct task, all_link));
        pool->spare_count--;
    }
    pool->spare_least = pool->spare_count;
    if (pool->spare_count > LIMIT_task_stacks_pooled)
        timer_set(&worker->timers, timer, worker->now_ms + LOOK_MS);
}

/* Those of other workers must not be short because of ours. */
static size_t
spare_max(void)
{
    unsigned count = atomic_load_explicit(&stack_count, memory_order_relaxed);
    return count > LIMIT_task_stacks_max / 2 ? LIMIT_task_stacks_pooled : LIMIT_task_stacks_spare;
}

static void
put_task(struct worker *worker, struct task *t)
{
    struct task_pool *pool = &worker->tasks;
    arena_reset(&t->arena);
    list_remove(&t->all_link);
    pool->count--;
    if (pool->spare_count >= LIMIT_task_stacks_pooled && pool->spare_count >= spare_max()) {
        task_free(t);
        return;
    }
    if (pool->spare_count >= LIMIT_task_stacks_pooled && !timer_is_set(&pool->look)) {
        pool->spare_least = pool->spare_count;
        timer_set(&worker->timers, &pool->look, worker->now_ms + LOOK_MS);
    }
    t->state = TASK_SPARE;
    list_append(pool->spare.next, &t->all_link); /* newest first: its pages are warm */
    pool->spare_count++;
}

/* --- switching ---------------------------------------------------------------------------------*/

/* On the task's stack: gives the thread back to the loop. */
static void
switch_to_loop(struct task *t)
{
    struct task_switch *s = t->worker->tasks.switching;
    t->frame = __builtin_frame_address(0);
#ifdef HAS_ASAN
    __sanitizer_start_switch_fiber(&t->fake_stack, s->loop_bottom, s->loop_size);
#endif
    if (_setjmp(t->ctx) == 0) {
#ifdef HAS_TSAN
        __tsan_switch_to_fiber(s->fiber, 0);
#endif
        _longjmp(s->loop_ctx, 1);
    }
#ifdef HAS_ASAN
    /* A pooled stack may be resumed by a later turn of the loop: learn its place again. */
    struct task_switch *now = t->worker->tasks.switching;
    __sanitizer_finish_switch_fiber(t->fake_stack, &now->loop_bottom, &now->loop_size);
#endif
}

/* The bottom of every stack: runs one task after another, never returns. */
static void
trampoline(void)
{
    struct task *t = running;
#ifdef HAS_ASAN
    struct task_switch *s = t->worker->tasks.switching;
    __sanitizer_finish_switch_fiber(NULL, &s->loop_bottom, &s->loop_size);
#endif
    for (;;) {
        t->fn(t, t->arg);
        t->state = TASK_ENDED;
        switch_to_loop(t);
    }
}

static void NORETURN
enter_first(struct task *t, struct task_switch *s)
{
    t->has_context = true;
    char *low = (char *)t->base + GUARD_BYTES;
    if (getcontext(&s->first_entry) != 0)
        abort();
    s->first_entry.uc_stack.ss_sp = low;
    s->first_entry.uc_stack.ss_size = (size_t)((char *)t - low) & ~(size_t)15;
    s->first_entry.uc_link = NULL;
    makecontext(&s->first_entry, trampoline, 0);
#ifdef HAS_TSAN
    __tsan_switch_to_fiber(t->fiber, 0);
#endif
    setcontext(&s->first_entry);
    abort();
}

/* On the loop's stack: runs the task until it parks or ends. */
static void
switch_to_task(struct task *t, struct task_switch *s)
{
#ifdef HAS_ASAN
    char *low = (char *)t->base + GUARD_BYTES;
    __sanitizer_start_switch_fiber(&s->fake_stack, low, (size_t)((char *)t - low));
#endif
#ifdef HAS_TSAN
    s->fiber = __tsan_get_current_fiber();
#endif
    if (_setjmp(s->loop_ctx) == 0) {
        if (!t->has_context)
            enter_first(t, s);
#ifdef HAS_TSAN
        __tsan_switch_to_fiber(t->fiber, 0);
#endif
        _longjmp(t->ctx, 1);
    }
#ifdef HAS_ASAN
    __sanitizer_finish_switch_fiber(s->fake_stack, NULL, NULL);
#endif
}

static void
warn_if_slow(const struct task *t, struct task_switch *s)
{
    uint64_t now_ms = clock_coarse_ms(); /* the exact clock costs as much as the switch */
    if (now_ms - s->last_ms > LIMIT_task_slice_ms)
        log_debug("remora.task", "task %s ran %llu ms without suspending", t->name,
                  (unsigned long long)(now_ms - s->last_ms));
    s->last_ms = now_ms;
}

static void
resume(struct task *t)
{
    struct worker *worker = t->worker;
    struct task_switch *s = worker->tasks.switching;
    assert(t->magic == TASK_MAGIC);
    assert(t->state == TASK_READY);
    t->state = TASK_RUNNING;
    running = t;
    switch_to_task(t, s);
    running = NULL;
    warn_if_slow(t, s);
    if (t->state == TASK_ENDED)
        put_task(worker, t);
}

void
task_run_ready(struct worker *worker)
{
    if (list_is_empty(&worker->tasks.ready))
        return;
    struct list batch;
    list_init(&batch);
    list_splice(&batch, &worker->tasks.ready);
    worker->tasks.switching->last_ms = clock_coarse_ms();
    struct list *node;
    while ((node = list_take_first(&batch)) != NULL)
        resume(LIST_ENTRY(node, struct task, ready_link));
}

static void
make_ready(struct task *t)
{
    if (t->state != TASK_PARKED)
        return;
    t->state = TASK_READY;
    list_append(&t->worker->tasks.ready, &t->ready_link);
}

/* --- life --------------------------------------------------------------------------------------*/

static void
on_deadline(struct timer *timer)
{
    make_ready(container_of(timer, struct task, timer));
}

struct task *
task_spawn(struct worker *worker, const char *name, task_fn *fn, void *arg)
{
    struct task_pool *pool = &worker->tasks;
    if (pool->count >= LIMIT_tasks_max || inject(INJECT_task_spawn_fail))
        return NULL;
    struct task *t = take_task(pool);
    if (t == NULL)
        return NULL;
    pool->count++;
    if (pool->count > pool->count_max)
        pool->count_max = pool->count;
    t->state = TASK_READY;
    t->is_cancelled = t->is_winding_down = false;
    t->shields = t->begun = 0;
    t->worker = worker;
    t->name = name;
    t->fn = fn;
    t->arg = arg;
    t->deadline_ms = UINT64_MAX;
    t->waiting = NULL;
    t->wait_function = NULL;
    diag_init(&t->diag, &t->arena);
    timer_init(&t->timer, on_deadline);
    list_append(&pool->all, &t->all_link);
    list_append(&pool->ready, &t->ready_link);
    return t;
}

struct worker *
task_worker(const struct task *t)
{
    return t->worker;
}

struct arena *
task_arena(struct task *t)
{
    return &t->arena;
}

struct diag *
task_diag(struct task *t)
{
    return &t->diag;
}

const char *
task_name(const struct task *t)
{
    return t->name;
}

/* --- waiting -----------------------------------------------------------------------------------*/

void
wait_init(struct wait *wait, struct task *t, void (*cancel)(struct wait *wait))
{
    *wait = (struct wait){ .task = t, .cancel = cancel };
}

static void
complete(struct wait *wait)
{
    assert(!wait->is_done);
    wait->is_done = true;
    if (wait->task->waiting == wait)
        make_ready(wait->task);
}

static void
on_wait_mail(struct mail *mail)
{
    complete(container_of(mail, struct wait, mail));
}

void
wait_done(struct wait *wait, err_t result)
{
    struct worker *owner = wait->task->worker;
    wait->result = result;
    if (worker_current() == owner)
        complete(wait);
    else
        worker_post(owner, &wait->mail, on_wait_mail);
}

/* Why the wait should end early, or OK. */
static err_t
reason_to_end(const struct task *t)
{
    if (task_is_cancelled(t))
        return ERR_CANCELLED;
    if (t->worker->now_ms >= t->deadline_ms && t->deadline_ms != UINT64_MAX)
        return ERR_DEADLINE;
    return OK;
}

/* Suspends once; whatever makes the task ready ends it. */
static void
park(struct task *t, bool with_deadline)
{
    if (with_deadline && t->deadline_ms != UINT64_MAX)
        timer_set(&t->worker->timers, &t->timer, t->deadline_ms);
    t->state = TASK_PARKED;
    switch_to_loop(t);
    timer_stop(&t->worker->timers, &t->timer);
}

err_t
task_wait_at(struct task *t, struct wait *wait, const char *function, int line)
{
    assert(t == running);
    err_t asked = OK;
    t->waiting = wait;
    t->wait_function = function;
    t->wait_line = line;
    t->wait_since_ms = t->worker->now_ms;
    while (!wait->is_done) {
        err_t reason = asked == OK ? reason_to_end(t) : OK;
        if (reason != OK) {
            asked = reason;
            if (wait->cancel == NULL) {
                wait->result = reason;
                break;
            }
            wait->cancel(wait);
            continue;
        }
        park(t, asked == OK);
    }
    t->waiting = NULL;
    t->wait_function = NULL;
    return wait->result == ERR_CANCELLED && asked != OK ? asked : wait->result;
}

struct sleeper {
    struct wait wait;
    struct timer timer;
};

static void
on_sleep_over(struct timer *timer)
{
    wait_done(&container_of(timer, struct sleeper, timer)->wait, OK);
}

err_t
task_sleep(struct task *t, uint64_t ms)
{
    struct sleeper sleeper;
    wait_init(&sleeper.wait, t, NULL);
    timer_init(&sleeper.timer, on_sleep_over);
    timer_set(&t->worker->timers, &sleeper.timer, clock_now_ms() + ms);
    err_t err = TASK_WAIT(t, &sleeper.wait);
    timer_stop(&t->worker->timers, &sleeper.timer);
    return err;
}

void
task_yield(struct task *t)
{
    assert(t == running);
    t->state = TASK_PARKED;
    make_ready(t);
    switch_to_loop(t);
}

/* --- deadlines and cancelling ------------------------------------------------------------------*/

uint64_t
task_deadline_push(struct task *t, uint64_t timeout_ms)
{
    uint64_t outer = t->deadline_ms;
    uint64_t at_ms;
    if (!__builtin_add_overflow(clock_now_ms(), timeout_ms, &at_ms) && at_ms < outer)
        t->deadline_ms = at_ms;
    return outer;
}

void
task_deadline_pop(struct task *t, uint64_t outer)
{
    t->deadline_ms = outer;
}

uint64_t
task_deadline_ms(const struct task *t)
{
    return t->deadline_ms;
}

uint64_t
task_time_left_ms(const struct task *t)
{
    if (t->deadline_ms == UINT64_MAX)
        return UINT64_MAX;
    uint64_t now_ms = clock_now_ms();
    return now_ms >= t->deadline_ms ? 0 : t->deadline_ms - now_ms;
}

void
task_cancel(struct task *t)
{
    assert(t->magic == TASK_MAGIC);
    assert(t->state != TASK_SPARE && t->state != TASK_ENDED);
    assert(worker_current() == t->worker);
    t->is_cancelled = true;
    if (t->waiting != NULL && task_is_cancelled(t))
        make_ready(t);
}

void
task_wind_down(struct task *t)
{
    assert(t->magic == TASK_MAGIC && worker_current() == t->worker);
    t->is_winding_down = true;
    if (t->waiting != NULL && task_is_cancelled(t))
        make_ready(t);
}

bool
task_is_cancelled(const struct task *t)
{
    return t->shields == 0 && (t->is_cancelled || (t->is_winding_down && t->begun == 0));
}

void
task_begun(struct task *t)
{
    t->begun++;
}

void
task_begun_end(struct task *t)
{
    assert(t->begun > 0);
    t->begun--;
}

void
task_shield_begin(struct task *t)
{
    t->shields++;
}

void
task_shield_end(struct task *t)
{
    assert(t->shields > 0);
    t->shields--;
}

err_t
task_wait_out_at(struct task *t, struct wait *wait, const char *function, int line)
{
    uint64_t outer = task_deadline_ms(t);
    task_deadline_pop(t, UINT64_MAX);
    task_shield_begin(t);
    err_t err = task_wait_at(t, wait, function, line);
    task_shield_end(t);
    task_deadline_pop(t, outer);
    return err;
}

void
task_each(struct worker *worker, void (*fn)(const struct task_info *info, void *arg), void *arg)
{
    struct list *node;
    LIST_FOREACH (node, &worker->tasks.all) {
        const struct task *t = LIST_ENTRY(node, struct task, all_link);
        fn(&(struct task_info){ .name = t->name,
                                .function = t->wait_function,
                                .line = t->wait_line,
                                .since_ms = t->wait_since_ms },
           arg);
    }
}
