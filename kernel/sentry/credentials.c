/* SPDX-License-Identifier: Apache-2.0 */
/* See credentials.h. */
#include "sentry/credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "config/file.h"
#include "sentry/authority.h"
#include "sentry/key.h"
#include "sentry/token_issuer.h"

#define SCOPE "dapr.sentry.ca"

/* --- files -------------------------------------------------------------------------------------*/

/* Read whole; wiped and freed by files_fini(). */
struct file {
    struct slice path;
    const char *what;
    struct slice text; /* heap; data NULL: there is no such file */
};

static void
files_fini(struct file *files, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char *text = (char *)(uintptr_t)files[i].text.data; /* ours */
        if (text != NULL)
            explicit_bzero(text, files[i].text.len);
        free(text);
        files[i].text = (struct slice){ 0 };
    }
}

static err_t
read_files(struct arena *scratch, struct file *files, size_t count, size_t *ret_found,
           struct diag *diag)
{
    size_t found = 0, len = 0;
    const char *words;
    for (size_t i = 0; i < count; i++) {
        char *text = file_read(scratch, files[i].path.data, &len, &words);
        if (text == NULL && access(files[i].path.data, F_OK) == 0)
            return DIAG_FAIL(diag, ERR_CONFIG, "failed to read %s: open %s: %s", files[i].what,
                             files[i].path.data, words);
        files[i].text = slice_of(text, text == NULL ? 0 : len);
        found += text != NULL;
    }
    *ret_found = found;
    return OK;
}

/* Files that belong together: none, or all. What would be written over would be lost. */
static err_t
refuse_part(struct arena *scratch, const struct file *files, size_t count, struct diag *diag)
{
    struct slice missing = SLICE_EMPTY;
    for (size_t i = 0; i < count; i++)
        if (files[i].text.data == NULL)
            missing = arena_printf(scratch, SLICE_FMT "%s%s", SLICE_ARG(missing),
                                   missing.len == 0 ? "" : ", ", files[i].path.data);
    return DIAG_FAIL(diag, ERR_CONFIG,
                     "some files of the credentials are there and others are not (" SLICE_FMT
                     "): bring them back, or move all away for new ones",
                     SLICE_ARG(missing));
}

static bool
write_all(int fd, struct slice text)
{
    while (text.len > 0) {
        ssize_t done = write(fd, text.data, text.len);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        text = slice_from(text, (size_t)done);
    }
    return fsync(fd) == 0;
}

/* Under another name first, so that nobody ever sees a part of it. */
static err_t
write_file(struct arena *scratch, const char *path, struct slice text, struct diag *diag)
{
    const char *other = arena_printf(scratch, "%s.new", path).data;
    (void)unlink(other); /* of a process that was killed in the middle */
    int fd = open(other, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    bool is_done = fd >= 0 && fchmod(fd, 0600) == 0 && write_all(fd, text);
    int error = errno;
    if (fd >= 0)
        (void)close(fd); /* what counts was said by fsync() */
    if (is_done && rename(other, path) == 0)
        return OK;
    error = is_done ? errno : error;
    (void)unlink(other);
    return DIAG_FAIL(diag, ERR_CONFIG, "failed to write file %s: %s", path,
                     file_error_words(scratch, error));
}

/* The folder of a file, locked against another process that would make files too; -1 with words. */
static int
lock_folder(struct arena *scratch, struct slice path, struct diag *diag)
{
    size_t len = path.len;
    while (len > 1 && path.data[len - 1] != '/')
        len--;
    const char *folder = arena_str(scratch, slice_first(path, len));
    if (mkdir(folder, 0700) != 0 && errno != EEXIST) {
        (void)DIAG_FAIL(diag, ERR_CONFIG, "failed to make the folder %s: %s", folder,
                        file_error_words(scratch, errno));
        return -1;
    }
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && flock(fd, LOCK_EX) == 0)
        return fd;
    (void)DIAG_FAIL(diag, ERR_CONFIG, "failed to open the folder %s: %s", folder,
                    file_error_words(scratch, errno));
    if (fd >= 0)
        (void)close(fd); /* nothing was written */
    return -1;
}

static void
unlock_folder(int fd)
{
    (void)fsync(fd); /* the names; a file system without it has done what it can */
    (void)close(fd);
}

static void
warn_of_readers(const struct slice path)
{
    struct stat status;
    if (stat(path.data, &status) == 0 && (status.st_mode & 077) != 0)
        log_warn(SCOPE, "%s can be read by others than its owner (mode %04o)", path.data,
                 status.st_mode & 07777);
}

/* --- certificates ------------------------------------------------------------------------------*/

enum { ANCHORS, CHAIN, KEY, X509_FILES };

static err_t
generate_x509(const struct sentry_options *options, struct arena *scratch, struct diag *diag)
{
    const struct authority_form form = { .trust_domain = options->trust_domain,
                                         .issuer_id = options->own_id,
                                         .skew_ms = options->skew_ms };
    struct authority_texts texts;
    log_info(SCOPE, "Root and issuer certs not found: generating self signed CA");
    err_t err = authority_generate(scratch, &form, &texts, diag);
    if (err != OK)
        return err;
    log_info(SCOPE, "Generating self-signed CA certs and persisting to store");
    err = write_file(scratch, options->key_path.data, texts.key, diag);
    if (err == OK)
        err = write_file(scratch, options->chain_path.data, texts.chain, diag);
    if (err == OK)
        err = write_file(scratch, options->anchors_path.data, texts.anchors, diag);
    authority_texts_wipe(&texts);
    return err;
}

/* ERR_CLOSED: there is nothing. */
static err_t
load_x509(const struct sentry_options *options, struct arena *scratch,
          struct authority **ret_authority, struct diag *diag)
{
    struct file files[X509_FILES] = { { options->anchors_path, "root certificate", { 0 } },
                                      { options->chain_path, "issuer certificate", { 0 } },
                                      { options->key_path, "issuer key", { 0 } } };
    size_t found = 0;
    err_t err = read_files(scratch, files, X509_FILES, &found, diag);
    if (err == OK && found == 0)
        err = ERR_CLOSED;
    else if (err == OK && found < X509_FILES)
        err = refuse_part(scratch, files, X509_FILES, diag);
    else if (err == OK)
        err = authority_new(&(struct authority_texts){ .anchors = files[ANCHORS].text,
                                                       .chain = files[CHAIN].text,
                                                       .key = files[KEY].text },
                            ret_authority, diag);
    files_fini(files, X509_FILES);
    return err;
}

/* --- tokens ------------------------------------------------------------------------------------*/

static err_t
generate_jwt(const struct sentry_options *options, struct arena *scratch, struct diag *diag)
{
    struct key_text key = { 0 };
    struct slice set;
    if (!slice_has_prefix(options->jwt_algorithm, SLICE("RS")) &&
        !slice_has_prefix(options->jwt_algorithm, SLICE("PS")))
        return DIAG_FAIL(diag, ERR_CONFIG,
                         "there is no JWT signing key, and only RSA keys are generated: " SLICE_FMT
                         " needs one of yours",
                         SLICE_ARG(options->jwt_algorithm));
    log_info(SCOPE, "Generating JWT signing key and persisting to store");
    err_t err = token_issuer_generate(scratch, options->jwt_algorithm, options->jwt_key_id, &key,
                                      &set, diag);
    if (err == OK)
        err = write_file(scratch, options->jwt_key_path.data, slice_of(key.data, key.len), diag);
    if (err == OK)
        err = write_file(scratch, options->jwks_path.data, set, diag);
    key_text_free(&key);
    return err;
}

static err_t
load_jwt(const struct sentry_options *options, struct arena *scratch,
         struct token_issuer **ret_tokens, struct diag *diag)
{
    struct file files[] = { { options->jwt_key_path, "JWT signing key", { 0 } },
                            { options->jwks_path, "JWKS", { 0 } } };
    size_t found = 0;
    err_t err = read_files(scratch, files, ARRAY_LEN(files), &found, diag);
    if (err == OK && found == 0)
        err = ERR_CLOSED;
    else if (err == OK && found < ARRAY_LEN(files))
        err = refuse_part(scratch, files, ARRAY_LEN(files), diag);
    else if (err == OK)
        err = token_issuer_new(&(struct token_issuer_config){ .key = files[0].text,
                                                              .set = files[1].text,
                                                              .algorithm = options->jwt_algorithm,
                                                              .key_id = options->jwt_key_id,
                                                              .issuer = options->jwt_issuer },
                               ret_tokens, diag);
    files_fini(files, ARRAY_LEN(files));
    return err;
}

/* --- both --------------------------------------------------------------------------------------*/

/* ERR_CLOSED: certificates or tokens are missing. */
static err_t
load(const struct sentry_options *options, struct arena *scratch, struct credentials *credentials,
     struct diag *diag)
{
    err_t err = load_x509(options, scratch, &credentials->authority, diag);
    if (err == OK && options->has_jwt)
        err = load_jwt(options, scratch, &credentials->tokens, diag);
    return err;
}

/* Looks once more with the folder locked: another process may have been faster. */
static err_t
generate(const struct sentry_options *options, struct arena *scratch,
         struct credentials *credentials, struct diag *diag)
{
    int lock = lock_folder(scratch, options->key_path, diag);
    if (lock < 0)
        return ERR_CONFIG;
    err_t err = load_x509(options, scratch, &credentials->authority, diag);
    if (err == ERR_CLOSED)
        err = generate_x509(options, scratch, diag);
    credentials_fini(credentials);
    if (err == OK && options->has_jwt)
        err = load_jwt(options, scratch, &credentials->tokens, diag);
    if (err == ERR_CLOSED)
        err = generate_jwt(options, scratch, diag);
    credentials_fini(credentials);
    unlock_folder(lock);
    return err == OK ? load(options, scratch, credentials, diag) : err;
}

err_t
credentials_load(const struct sentry_options *options, bool may_generate, struct arena *scratch,
                 struct credentials *ret_credentials, struct diag *diag)
{
    struct credentials credentials = { 0 };
    log_info(SCOPE, "Using local file system for trust bundle storage");
    err_t err = load(options, scratch, &credentials, diag);
    bool generates = err == ERR_CLOSED && may_generate;
    if (generates) {
        credentials_fini(&credentials);
        err = generate(options, scratch, &credentials, diag);
    }
    if (err == ERR_CLOSED)
        err = DIAG_FAIL(diag, ERR_CONFIG, "the files of the credentials are gone");
    if (err != OK) {
        credentials_fini(&credentials);
        return err;
    }
    log_info(SCOPE, "%s",
             generates ? "Self-signed certs and JWT root key generated and persisted successfully"
                       : "Root and issuer certs found: using credentials from store");
    warn_of_readers(options->key_path);
    if (options->has_jwt) {
        log_info(SCOPE, "JWT issuing enabled");
        warn_of_readers(options->jwt_key_path);
    }
    *ret_credentials = credentials;
    return OK;
}

void
credentials_fini(struct credentials *credentials)
{
    authority_unref(TAKE(credentials->authority));
    token_issuer_free(TAKE(credentials->tokens));
}
