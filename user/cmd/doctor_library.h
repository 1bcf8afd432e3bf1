/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef TW_CMD_DOCTOR_LIBRARY_H
#define TW_CMD_DOCTOR_LIBRARY_H

/* Prints what tls/library.h says of the file, on stdout. An exit code. Reads that file and nothing else. */
int doctor_library(const char *file);

#endif
