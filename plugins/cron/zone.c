/* SPDX-License-Identifier: Apache-2.0 */
/* Time zones; see zone.h. */
#include "zone.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DATABASE "/usr/share/zoneinfo/"

enum { NAME_BYTES_MAX = 128 };

/* What TZ was, as a zone of the database; NULL: it was not there, and /etc/localtime is meant. */
static char local_zone[NAME_BYTES_MAX];
static bool has_local_zone;
static char local_name[sizeof DATABASE + NAME_BYTES_MAX] = "Local";
/* What the library is set to. */
static char current[NAME_BYTES_MAX];
static bool is_set;

static bool
is_utc(const char *name)
{
    return name[0] == '\0' || strcmp(name, "UTC") == 0;
}

/* A name is a path in the database: nothing above it, and only a file of its kind. */
static bool
is_in_database(const char *name)
{
    char path[sizeof DATABASE + NAME_BYTES_MAX], magic[4];
    if (strlen(name) >= NAME_BYTES_MAX || name[0] == '/' || name[0] == '\\' ||
        strstr(name, "..") != NULL)
        return false;
    (void)snprintf(path, sizeof path, DATABASE "%s", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    const bool is_zone = read(fd, magic, sizeof magic) == sizeof magic &&
                         memcmp(magic, "TZif", sizeof magic) == 0;
    (void)close(fd); /* it was only read */
    return is_zone;
}

void
zone_setup(void)
{
    const char *name = getenv("TZ");
    if (name == NULL || strcmp(name, "/etc/localtime") == 0 || strcmp(name, ":/etc/localtime") == 0)
        return;
    if (name[0] == ':')
        name++;
    const bool is_path = strncmp(name, DATABASE, strlen(DATABASE)) == 0;
    const char *zone = is_path ? name + strlen(DATABASE) : name;
    has_local_zone = true;
    const bool is_known = !is_utc(zone) && is_in_database(zone);
    /* As in the reference, whatever else it says is UTC: rules in POSIX's form too. */
    (void)snprintf(local_zone, sizeof local_zone, "%s", is_known ? zone : "UTC");
    (void)snprintf(local_name, sizeof local_name, "%s", is_known ? name : "UTC");
}

const char *
zone_local_name(void)
{
    return local_name;
}

bool
zone_exists(const char *name)
{
    return is_utc(name) || strcmp(name, "Local") == 0 || is_in_database(name);
}

/* ":" has the library read a file and nothing else. Empty: the machine's. */
static void
set_zone(const char *zone)
{
    char value[sizeof DATABASE + NAME_BYTES_MAX];
    if (is_set && strcmp(zone, current) == 0)
        return;
    (void)snprintf(value, sizeof value, ":" DATABASE "%s", zone);
    if ((zone[0] == '\0' ? unsetenv("TZ") : setenv("TZ", value, 1)) != 0)
        abort();
    tzset();
    (void)snprintf(current, sizeof current, "%s", zone);
    is_set = true;
}

int64_t
zone_offset(const void *name, int64_t unix_s)
{
    const char *zone = name;
    const time_t time = (time_t)unix_s;
    struct tm wall;
    if (zone == NULL || strcmp(zone, "Local") == 0)
        zone = has_local_zone ? local_zone : NULL;
    if (zone != NULL && is_utc(zone))
        return 0;
    set_zone(zone == NULL ? "" : zone);
    return localtime_r(&time, &wall) == NULL ? 0 : wall.tm_gmtoff;
}
