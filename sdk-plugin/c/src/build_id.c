/* SPDX-License-Identifier: Apache-2.0 */
/* Which build this program is: the id that the linker put into it. */
#include "sdk.h"

#include <elf.h>
#include <link.h>

#define OWNER "GNU" /* with its NUL: 4 bytes */

/* One note: a head, the owner's name and the content, both padded to 4 bytes. */
static struct slice
take_note(struct slice *notes, ElfW(Nhdr) * ret_head)
{
    if (notes->len < sizeof *ret_head)
        return *notes = SLICE_EMPTY;
    memcpy(ret_head, notes->data, sizeof *ret_head);
    size_t name_len = ((size_t)ret_head->n_namesz + 3) & ~(size_t)3;
    size_t content_len = ((size_t)ret_head->n_descsz + 3) & ~(size_t)3;
    struct slice rest = slice_from(*notes, sizeof *ret_head);
    if (name_len > rest.len || content_len > rest.len - name_len)
        return *notes = SLICE_EMPTY;
    *notes = slice_from(rest, name_len + content_len);
    return rest;
}

static bool
find_in(struct slice notes, struct slice *ret_id)
{
    ElfW(Nhdr) head;
    while (notes.len > 0) {
        struct slice note = take_note(&notes, &head);
        if (note.len == 0 || head.n_type != NT_GNU_BUILD_ID || head.n_namesz != sizeof OWNER ||
            memcmp(note.data, OWNER, sizeof OWNER) != 0)
            continue;
        *ret_id = slice_first(slice_from(note, sizeof OWNER), head.n_descsz);
        return true;
    }
    return false;
}

/* The program itself comes first. */
static int
on_object(struct dl_phdr_info *info, size_t bytes, void *arg)
{
    (void)bytes;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type != PT_NOTE)
            continue;
        const char *notes = (const char *)(uintptr_t)(info->dlpi_addr + part->p_vaddr);
        if (find_in(slice_of(notes, part->p_memsz), arg))
            break;
    }
    return 1;
}

struct slice
build_id(struct arena *arena)
{
    static const char digits[] = "0123456789abcdef";
    struct slice id = SLICE_EMPTY;
    (void)dl_iterate_phdr(on_object, &id); /* what it returns is what on_object() does */
    char *text = arena_alloc(arena, id.len * 2 + 1);
    for (size_t i = 0; i < id.len; i++) {
        text[2 * i] = digits[(unsigned char)id.data[i] >> 4];
        text[2 * i + 1] = digits[(unsigned char)id.data[i] & 15];
    }
    text[id.len * 2] = '\0';
    return slice_of(text, id.len * 2);
}
