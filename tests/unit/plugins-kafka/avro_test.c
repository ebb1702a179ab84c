/* SPDX-License-Identifier: Apache-2.0 */
/* Avro and JSON, with vectors of the Avro specification (sections "Binary Encoding" and "JSON
 * Encoding"), what the reference's library says of the same, and what strangers may try. */
#include "plugins/kafka/avro.h"

#include "test.h"

#define LIST                                                                                       \
    "{'type':'record','name':'LongList','fields':[{'name':'value','type':'long'},"                 \
    "{'name':'next','type':['null','LongList'],'default':null}]}"
#define TEST_RECORD                                                                                \
    "{'type':'record','name':'test','fields':[{'name':'a','type':'long'},"                         \
    "{'name':'b','type':'string'}]}"

static char why[AVRO_WHY_BYTES];
static struct avro_bytes result;

static void
clear(void)
{
    avro_bytes_fini(&result);
    result.max = AVRO_JSON_BYTES_MAX;
    why[0] = '\0';
}

/* ' stands for ", so that schemas can be read. */
static char *
unquote(const char *text)
{
    char *copy = strdup(text);
    REQUIRE(copy != NULL);
    for (char *c = copy; *c != '\0'; c++)
        *c = *c == '\'' ? '"' : *c;
    return copy;
}

static struct avro_schema *
schema_of(const char *text)
{
    char *json = unquote(text);
    struct avro_schema *schema = avro_schema_new(json, strlen(json), why);
    free(json);
    return schema;
}

static const char *
hex(void)
{
    static char text[256];
    for (size_t i = 0; i < result.len && i < 100; i++)
        snprintf(text + 2 * i, 3, "%02x", (unsigned char)result.data[i]);
    text[2 * result.len] = '\0';
    return text;
}

static unsigned
nibble(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static size_t
unhex(const char *text, unsigned char *out)
{
    size_t len = strlen(text) / 2;
    for (size_t i = 0; i < len; i++)
        out[i] = (unsigned char)(nibble(text[2 * i]) << 4 | nibble(text[2 * i + 1]));
    return len;
}

/* JSON as hexadecimal data, or the words of trouble. */
static const char *
written(const char *schema_text, const char *json_text, enum avro_json kind)
{
    clear();
    struct avro_schema *schema = schema_of(schema_text);
    char *json = unquote(json_text);
    bool is_written = schema != NULL &&
                      avro_from_json(schema, json, strlen(json), kind, &result, why);
    free(json);
    avro_schema_unref(schema);
    return is_written ? hex() : why;
}

/* Hexadecimal data as JSON with ' for ", or the words of trouble. */
static const char *
read_as(const char *schema_text, const char *data_text, enum avro_json kind)
{
    unsigned char data[256];
    size_t len = unhex(data_text, data);
    clear();
    struct avro_schema *schema = schema_of(schema_text);
    bool is_read = schema != NULL && avro_to_json(schema, data, len, kind, &result, why);
    avro_schema_unref(schema);
    if (!is_read)
        return why;
    avro_put(&result, "", 1);
    for (char *c = result.data; *c != '\0'; c++)
        *c = *c == '"' ? '\'' : *c;
    return result.data;
}

/* Both ways, in both kinds of JSON. */
static void
check_same(const char *schema, const char *data, const char *json)
{
    for (int kind = AVRO_JSON_STANDARD; kind <= AVRO_JSON_TAGGED; kind++) {
        CHECK_EQ_STR(written(schema, json, (enum avro_json)kind), data);
        CHECK_EQ_STR(read_as(schema, data, (enum avro_json)kind), json);
    }
}

TEST(numbers_are_zigzag_and_as_short_as_they_can_be)
{
    static const struct {
        const char *json, *data;
    } rows[] = { { "0", "00" },
                 { "-1", "01" },
                 { "1", "02" },
                 { "-2", "03" },
                 { "2", "04" },
                 { "-64", "7f" },
                 { "64", "8001" },
                 { "2147483647", "feffffff0f" },
                 { "-2147483648", "ffffffff0f" } };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_same("'int'", rows[i].data, rows[i].json);
        check_same("'long'", rows[i].data, rows[i].json);
    }
    check_same("'long'", "feffffffffffffffff01", "9223372036854775807");
    check_same("'long'", "ffffffffffffffffff01", "-9223372036854775808");
}

TEST(scalars_are_what_the_specification_says)
{
    check_same("'null'", "", "null");
    check_same("'boolean'", "01", "true");
    check_same("'boolean'", "00", "false");
    check_same("'string'", "06666f6f", "'foo'");
    check_same("'bytes'", "04ff00", "'\\u00FF\\u0000'");
    check_same("'float'", "0000c03f", "1.5");
    check_same("'double'", "000000000000f03f", "1");
    check_same("{'type':'enum','name':'Foo','symbols':['A','B','C','D']}", "06", "'D'");
    check_same("{'type':'fixed','name':'md5','size':2}", "ff61", "'\\u00FFa'");
    check_same("{'type':'string','avro.java.string':'String'}", "00", "''");
}

TEST(what_has_something_in_it_is_what_the_specification_says)
{
    check_same(TEST_RECORD, "3606666f6f", "{'a':27,'b':'foo'}");
    check_same("{'type':'array','items':'long'}", "04063600", "[3,27]");
    check_same("{'type':'array','items':'long'}", "00", "[]");
    check_same("{'type':'map','values':'int'}", "0202610200", "{'a':1}");
    check_same("{'type':'map','values':'int'}", "00", "{}");
    CHECK_EQ_STR(read_as("{'type':'array','items':'long'}", "03040636020c00", AVRO_JSON_STANDARD),
                 "[3,27,6]"); /* a block with its size, and one more */
    check_same(LIST, "0200", "{'value':1,'next':null}");
}

TEST(values_of_unions_are_bare_or_wrapped)
{
    const char *schema = "['null','string','int']";
    CHECK_EQ_STR(written(schema, "null", AVRO_JSON_STANDARD), "00");
    CHECK_EQ_STR(written(schema, "'a'", AVRO_JSON_STANDARD), "020261");
    CHECK_EQ_STR(written(schema, "7", AVRO_JSON_STANDARD), "040e");
    CHECK_EQ_STR(written(schema, "{'string':'a'}", AVRO_JSON_TAGGED), "020261");
    CHECK_EQ_STR(written(schema, "null", AVRO_JSON_TAGGED), "00");
    CHECK_EQ_STR(read_as(schema, "020261", AVRO_JSON_STANDARD), "'a'");
    CHECK_EQ_STR(read_as(schema, "020261", AVRO_JSON_TAGGED), "{'string':'a'}");
    CHECK_EQ_STR(read_as(schema, "00", AVRO_JSON_TAGGED), "null");
    CHECK_EQ_STR(read_as(LIST, "02020400", AVRO_JSON_TAGGED),
                 "{'value':1,'next':{'LongList':{'value':2,'next':null}}}");
    CHECK_EQ_STR(read_as(LIST, "02020400", AVRO_JSON_STANDARD),
                 "{'value':1,'next':{'value':2,'next':null}}");
}

TEST(a_number_is_of_the_branch_whose_name_comes_first)
{
    CHECK_EQ_STR(written("['string','long','double']", "5", AVRO_JSON_STANDARD),
                 "040000000000001440");
    CHECK_EQ_STR(written("['long','int']", "3000000000", AVRO_JSON_STANDARD), "0080f882ad16");
    CHECK_EQ_STR(written("['long','int']", "3", AVRO_JSON_STANDARD), "0206");
    CHECK_EQ_STR(written("['bytes','string']", "'x'", AVRO_JSON_STANDARD), "000278");
    CHECK_EQ_STR(
        written("[{'type':'map','values':'int'}," TEST_RECORD "]", "{'a':1}", AVRO_JSON_STANDARD),
        "000202610200");
    CHECK_EQ_STR(written("['null','int']", "'x'", AVRO_JSON_STANDARD),
                 "could not decode any json data in input");
}

TEST(logical_types_look_like_what_they_are_stored_as)
{
    check_same("{'type':'long','logicalType':'timestamp-millis'}", "01", "-1");
    check_same("{'type':'int','logicalType':'date'}", "04", "2");
    check_same("{'type':'string','logicalType':'uuid'}", "0278", "'x'");
    const char *decimal = "{'type':'bytes','logicalType':'decimal','precision':4,'scale':2}";
    check_same(decimal, "0402d2", "'\\u0002\\u00D2'"); /* 7.22 */
    CHECK_EQ_STR(written(decimal, "'\\u0000\\u0000\\u007f'", AVRO_JSON_STANDARD), "027f");
    CHECK_EQ_STR(written(decimal, "'\\u00ff\\u0080'", AVRO_JSON_STANDARD), "0280");
    CHECK_EQ_STR(written(decimal, "''", AVRO_JSON_STANDARD), "0200");
    CHECK_EQ_STR(read_as("['null',{'type':'long','logicalType':'timestamp-micros'}]", "0202",
                         AVRO_JSON_TAGGED),
                 "{'long.timestamp-micros':1}");
}

TEST(numbers_with_fractions_have_the_fewest_digits)
{
    static const struct {
        double value;
        const char *json;
    } rows[] = { { 100000, "100000" },
                 { 1000000, "1e+06" },
                 { 1234567, "1.234567e+06" },
                 { 0.0001, "0.0001" },
                 { 0.00001, "1e-05" },
                 { 1.0 / 3, "0.3333333333333333" },
                 { 5e-324, "5e-324" },
                 { -1.5e-7, "-1.5e-07" },
                 { 1e21, "1e+21" },
                 { 0x1p-44, "5.684341886080802e-14" },
                 { 9007199254740992.0, "9.007199254740992e+15" } };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        clear();
        struct avro_schema *schema = schema_of("'double'");
        CHECK(avro_to_json(schema, &rows[i].value, 8, AVRO_JSON_STANDARD, &result, why));
        CHECK_EQ_MEM(result.data, result.len, rows[i].json, strlen(rows[i].json));
        avro_schema_unref(schema);
    }
    check_same("'float'", "cdcccc3d", "0.1");
    check_same("'double'", "000000000000f07f", "1e999");
    check_same("'double'", "000000000000f0ff", "-1e999");
    check_same("'double'", "010000000000f87f", "null");
    CHECK_EQ_STR(written("'double'", "1e400", AVRO_JSON_STANDARD),
                 "strconv.ParseFloat: parsing \"1e400\": value out of range");
}

TEST(texts_are_escaped_as_the_reference_does)
{
    CHECK_EQ_STR(read_as("'string'", "0ec3a9f09f98802f", AVRO_JSON_STANDARD),
                 "'\\u00E9\\uD83D\\uDE00\\/'");
    CHECK_EQ_STR(read_as("'string'", "06ff41c3", AVRO_JSON_STANDARD), "'\\uFFFDA\\uFFFD'");
    CHECK_EQ_STR(written("'string'", "'\\ud83d\\ude00\\n\\u00e9'", AVRO_JSON_STANDARD),
                 "0ef09f98800ac3a9");
    CHECK_EQ_STR(written("'string'", "'\\ud83d'", AVRO_JSON_STANDARD),
                 "cannot decode textual string: missing second half of surrogate pair");
    CHECK_EQ_STR(written("'bytes'", "'\\u0100'", AVRO_JSON_STANDARD),
                 "cannot decode textual bytes: an escape is no byte");
}

TEST(fields_come_in_any_order_and_may_be_left_to_their_defaults)
{
    const char *schema = "{'type':'record','name':'R','fields':["
                         "{'name':'i','type':'int','default':-3},"
                         "{'name':'s','type':'string'},"
                         "{'name':'b','type':'bytes','default':'\\u00ff'},"
                         "{'name':'u','type':['null','int'],'default':'null'},"
                         "{'name':'l','type':{'type':'array','items':'int'},'default':[1]},"
                         "{'name':'r','type':" LIST ",'default':{'value':7}}]}";
    CHECK_EQ_STR(written(schema, "{'s':'x'}", AVRO_JSON_STANDARD), "05027802ff000202000e00");
    CHECK_EQ_STR(written(schema, "{'l':[],'s':'x','u':1,'i':0}", AVRO_JSON_STANDARD),
                 "00027802ff0202000e00");
    CHECK_EQ_STR(written(schema, "{'i':1}", AVRO_JSON_STANDARD),
                 "cannot decode textual record \"R\": only found 5 of 6 fields");
}

TEST(trouble_has_the_words_of_the_reference)
{
    static const struct {
        const char *schema, *json, *words;
    } rows[] = {
        { TEST_RECORD, "{'a':1,'b':'x','c':2}",
          "cannot decode textual record \"test\": cannot decode textual map: cannot determine "
          "codec: \"c\"" },
        { TEST_RECORD, "{'a':1}",
          "cannot decode textual record \"test\": only found 1 of 2 fields" },
        { TEST_RECORD, "{'a':'x','b':'x'}",
          "cannot decode textual record \"test\": unexpected byte: '\"' for key: \"a\"" },
        { TEST_RECORD, "{'a':1,'b':2}",
          "cannot decode textual record \"test\": cannot decode textual string: expected initial "
          "\"; found: U+0032 '2' for key: \"b\"" },
        { TEST_RECORD, "[1]", "cannot decode textual record \"test\": expected: '{'; actual: '['" },
        { "'int'", "2147483648", "strconv.ParseInt: parsing \"2147483648\": value out of range" },
        { "'int'", "1.5", "unexpected byte: '.'" },
        { "'boolean'", "1", "expected false or true" },
        { "{'type':'enum','name':'E','symbols':['A','B']}", "'C'",
          "cannot decode textual enum \"E\": value ought to be member of symbols: [A B]" },
        { "{'type':'fixed','name':'F','size':2}", "'abc'",
          "cannot decode textual fixed \"F\": datum size ought to equal schema size: 3 != 2" },
        { "{'type':'map','values':'int'}", "{'a':1,'b':2,'\\u0061':3}",
          "cannot decode textual map: duplicate key" },
        { "'int'", "1 2", "cannot decode textual value: JSON has something behind its end" },
        { "'int'", "", "cannot decode textual value: JSON ends too early" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        CHECK_EQ_STR(written(rows[i].schema, rows[i].json, AVRO_JSON_STANDARD), rows[i].words);
    CHECK_EQ_STR(written("['null','int']", "{'long':1}", AVRO_JSON_TAGGED),
                 "cannot decode textual union: cannot decode textual map: cannot determine codec: "
                 "\"long\"");
}

TEST(data_that_lie_are_refused)
{
    static const struct {
        const char *schema, *data, *words;
    } rows[] = {
        { "'string'", "0c61",
          "cannot decode binary string: cannot decode binary bytes: short buffer" },
        { "'bytes'", "01", "cannot decode binary bytes: negative size: -1" },
        { "'bytes'", "feffffffffffffffff01", "cannot decode binary bytes: short buffer" },
        { "'long'", "ffffffffffffffffffff01", "a number has more than 64 bits" },
        { "'int'", "feffffffffffffffff01", "an int has more than 32 bits" },
        { "'boolean'", "02",
          "cannot decode binary boolean: expected: Go byte(0) or byte(1); received: byte(2)" },
        { "['null','int']", "04",
          "cannot decode binary union: index ought to be between 0 and 1; read index: 2" },
        { "{'type':'enum','name':'E','symbols':['A']}", "01",
          "cannot decode binary enum \"E\": index ought to be between 0 and 0; read index: -1" },
        { TEST_RECORD, "02",
          "cannot decode binary record \"test\" field \"b\": cannot decode "
          "binary string: cannot decode binary bytes: short buffer" },
        { "{'type':'map','values':'null'}",
          "0402610261"
          "00",
          "cannot decode binary map: duplicate key" },
        { "{'type':'array','items':'null'}", "feffffff1f",
          "cannot decode binary array when block count exceeds MaxBlockCount: 4294967295 > "
          "2147483647" },
        { "{'type':'array','items':'null'}", "feffffff0f",
          "cannot decode binary array item 3355445: the value is too large as JSON" },
        { "{'type':'array','items':'int'}", "ffffffffffffffffff01",
          "cannot decode binary array with block count: -9223372036854775808" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        CHECK_EQ_STR(read_as(rows[i].schema, rows[i].data, AVRO_JSON_STANDARD), rows[i].words);
}

TEST(what_is_inside_itself_for_ever_ends)
{
    clear();
    char data[2 * 200 + 1];
    for (size_t i = 0; i < 200; i++)
        memcpy(data + 2 * i, "02", 3);
    CHECK(strstr(read_as(LIST, data, AVRO_JSON_STANDARD), "cannot decode binary") != NULL);
    CHECK(strlen(why) < AVRO_WHY_BYTES);
    const char *twin = "{'type':'record','name':'R','fields':[{'name':'a','type':'R'},"
                       "{'name':'b','type':'R'}]}";
    CHECK(strstr(read_as(twin, "", AVRO_JSON_STANDARD), "cannot decode binary record") != NULL);
    /* Unions that could be tried for ever: each of two records takes the value but for its end. */
    const char *fork = "{'type':'record','name':'A','fields':[{'name':'n','type':["
                       "{'type':'record','name':'B','fields':[{'name':'n','type':['A','B']}]},"
                       "'A','int']}]}";
    char json[60 * 6 + 64];
    size_t len = 0;
    for (size_t i = 0; i < 60; i++)
        len += (size_t)snprintf(json + len, sizeof json - len, "{'n':");
    len += (size_t)snprintf(json + len, sizeof json - len, "'x'");
    for (size_t i = 0; i < 60; i++)
        json[len++] = '}';
    json[len] = '\0';
    CHECK(strstr(written(fork, json, AVRO_JSON_STANDARD), "too much to be tried") != NULL);
}

TEST(schemas_that_are_none_are_refused)
{
    static const struct {
        const char *schema, *words;
    } rows[] = {
        { "", "cannot unmarshal schema JSON: JSON ends too early" },
        { "{", "cannot unmarshal schema JSON: JSON has no name where one belongs" },
        { "7", "unknown schema type" },
        { "{}", "missing type" },
        { "'integer'", "unknown type name: \"integer\"" },
        { "[]", "Union ought to have one or more members" },
        { "['int','int']", "Union item 2 ought to be unique type: int" },
        { "{'type':'array'}", "Array ought to have items key" },
        { "{'type':'map','values':'x'}",
          "Map values ought to be valid Avro type: unknown type name: \"x\"" },
        { "{'type':'fixed','name':'F'}", "Fixed \"F\" ought to have size key" },
        { "{'type':'fixed','name':'F','size':-1}",
          "Fixed \"F\" size ought to be number greater than zero" },
        { "{'type':'enum','name':'E'}", "Enum \"E\" ought to have symbols key" },
        { "{'type':'record','name':'1R','fields':[]}",
          "Record ought to have valid name: schema name ought to start with [A-Za-z_]: 1R" },
        { "{'type':'record','name':'R'}", "Record \"R\" ought to have fields key" },
        { "{'type':'record','name':'R','fields':[{'name':'a','type':'int','default':'x'}]}",
          "Record \"R\" field \"a\": default value ought to encode using field schema: unexpected "
          "byte: '\"'" },
        { "{'type':'record','name':'R','fields':[{'name':'r','type':'R','default':{}}]}",
          "Record" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct avro_schema *schema = schema_of(rows[i].schema);
        CHECK_EQ_PTR(schema, NULL);
        CHECK_EQ_MEM(why, strlen(rows[i].words), rows[i].words, strlen(rows[i].words));
        avro_schema_unref(schema);
    }
}

TEST(names_are_looked_up_in_their_namespace)
{
    const char *schema =
        "{'type':'record','name':'a.b.R','fields':["
        "{'name':'e','type':{'type':'enum','name':'E','symbols':['X']}},"
        "{'name':'again','type':['null','E','a.b.R']},"
        "{'name':'far','type':{'type':'fixed','name':'F','namespace':'c','size':1}},"
        "{'name':'far2','type':'c.F'}]}";
    CHECK_EQ_STR(read_as(schema, "0002006162", AVRO_JSON_TAGGED),
                 "{'e':'X','again':{'a.b.E':'X'},'far':'a','far2':'b'}");
}
