/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of S3, taken for a refusal and for a list: words of one line, and JSON that can be read.
 */
#include <assert.h>
#include <cjson/cJSON.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/aws/xml.c"
#include "plugins/shared/base64.c"
#include "plugins/shared/text.c"
#include "plugins/shared/xml_reader.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct xml_error error;
    struct text json = { .bytes = NULL };
    if (xml_read_error((const char *)data, size, &error))
        assert(error.code[0] != '\0' && strpbrk(error.message, "\r\n\t") == NULL);
    if (xml_list_to_json((const char *)data, size, &json)) {
        cJSON *list = cJSON_ParseWithLength(json.bytes, json.len);
        assert(cJSON_IsObject(list) && cJSON_GetArraySize(list) == 10);
        cJSON_Delete(list);
    } else {
        assert(json.len == 0);
    }
    free(json.bytes);
    return 0;
}
