/* SPDX-License-Identifier: Apache-2.0 */
#include "files.h"
#include "output.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

void names_free(name_list *l) {
    for (size_t i = 0; i < l->n; i++)
        free(l->v[i]);
    free(l->v);
    *l = (name_list){0};
}

bool names_add(name_list *l, const char *name) {
    if ((l->n & (l->n - 1)) == 0) { /* full at powers of two */
        char **v = realloc(l->v, (l->n ? l->n * 2 : 1) * sizeof *v);
        if (!v)
            return false;
        l->v = v;
    }
    char *copy = text_copy(name);
    if (!copy)
        return false;
    l->v[l->n++] = copy;
    return true;
}

bool names_have(const name_list *l, const char *name) {
    for (size_t i = 0; i < l->n; i++)
        if (!strcmp(l->v[i], name))
            return true;
    return false;
}

bool is_file(const char *path) {
    struct stat s;
    return stat(path, &s) == 0 && S_ISREG(s.st_mode);
}

bool is_folder(const char *path) {
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

char *path_join(const char *folder, const char *name) {
    size_t n = strlen(folder);
    return text_of("%s%s%s", folder, n && folder[n - 1] == '/' ? "" : "/", name);
}

int natural_order(const char *a, const char *b) {
    while (*a && *b) {
        if (isdigit((unsigned char)*a) && isdigit((unsigned char)*b)) {
            size_t za = strspn(a, "0"), zb = strspn(b, "0");
            size_t na = strspn(a + za, "0123456789"), nb = strspn(b + zb, "0123456789");
            int c = na != nb ? (na < nb ? -1 : 1) : memcmp(a + za, b + zb, na);
            if (c)
                return c;
            if (za != zb)
                return za < zb ? -1 : 1;
            a += za + na;
            b += zb + nb;
        } else if (*a != *b)
            return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
        else {
            a++;
            b++;
        }
    }
    return *a ? 1 : *b ? -1 : 0;
}

static int by_name(const void *a, const void *b) {
    return natural_order(*(char *const *)a, *(char *const *)b);
}

bool folder_list(const char *path, name_list *out) {
    DIR *d = opendir(path);
    struct dirent *e;
    if (!d)
        return false;
    errno = 0;
    while ((e = readdir(d)))
        if (e->d_name[0] != '.' && !names_add(out, e->d_name)) {
            errno = ENOMEM;
            break;
        }
    int error = errno;
    closedir(d);
    errno = error;
    if (out->n)
        qsort(out->v, out->n, sizeof *out->v, by_name);
    return !error;
}

bool folder_make(const char *path) {
    char *copy = text_copy(path);
    bool ok = copy != NULL;
    for (char *slash = copy ? strchr(copy + 1, '/') : NULL; slash && ok; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        ok = mkdir(copy, 0777) == 0 || errno == EEXIST;
        *slash = '/';
    }
    ok = ok && (mkdir(path, 0777) == 0 || (errno == EEXIST && is_folder(path)));
    int error = errno;
    free(copy);
    errno = error;
    return ok;
}

char *file_text(const char *path, size_t limit) {
    if (is_folder(path)) {
        errno = EISDIR;
        return NULL;
    }
    FILE *f = fopen(path, "rb");
    if (!f)
        return NULL;
    size_t n = 0, cap = 4096;
    char *text = malloc(cap + 1);
    while (text && !feof(f) && !ferror(f) && n < limit) {
        if (n == cap) {
            char *more = realloc(text, cap * 2 + 1);
            if (!more) {
                free(text);
                text = NULL;
                errno = ENOMEM;
                break;
            }
            text = more;
            cap *= 2;
        }
        n += fread(text + n, 1, cap - n < limit - n ? cap - n : limit - n, f);
    }
    if (text && (ferror(f) || (n == limit && !feof(f) && fgetc(f) != EOF))) {
        errno = ferror(f) ? EIO : EFBIG;
        free(text);
        text = NULL;
    }
    int error = errno;
    fclose(f);
    errno = error;
    if (text)
        text[n] = 0;
    return text;
}

static bool taken_by(const name_list *l, const char *name) { /* some file systems do not tell a from A */
    for (size_t i = 0; i < l->n; i++)
        if (!strcasecmp(l->v[i], name))
            return true;
    return false;
}

const char *safe_name(const char *name, name_list *taken) {
    char safe[256];
    size_t n = strlen(name);
    n = n < 200 ? n : 200;
    while (n < strlen(name) && n && ((unsigned char)name[n] & 0xc0) == 0x80) /* not within a character */
        n--;
    memcpy(safe, name, n);
    safe[n] = 0;
    for (char *c = safe; *c; c++)
        if (*c == '/' || *c == '\\' || (unsigned char)*c < 32 || *c == 127 || (c == safe && *c == '.'))
            *c = '_';
    if (!*safe)
        memcpy(safe, "output", 7);
    char candidate[320];
    snprintf(candidate, sizeof candidate, "%s", safe);
    for (int k = 2; taken_by(taken, candidate); k++)
        snprintf(candidate, sizeof candidate, "%s_%d", safe, k);
    return names_add(taken, candidate) ? taken->v[taken->n - 1] : NULL;
}
