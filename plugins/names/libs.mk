# SPDX-License-Identifier: Apache-2.0
names_LIBS := -lev
