# SPDX-License-Identifier: Apache-2.0
cron_LIBS := -lev
