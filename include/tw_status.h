/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Status codes and their places in struct tw_series. Index 1 is "no status" (the exchange was not answered); the
 * registered codes (IANA, HTTP Status Code Registry) follow; 0 means not in the table: such exchanges travel as
 * records.
 */
#ifndef TW_STATUS_H
#define TW_STATUS_H

#define TW_STATUS_TABLE 1024

/* clang-format off */
#define TW_STATUSES(X) \
	X(2, 100) X(3, 101) X(4, 102) X(5, 103) X(6, 200) X(7, 201) X(8, 202) X(9, 203) \
	X(10, 204) X(11, 205) X(12, 206) X(13, 207) X(14, 208) X(15, 226) X(16, 300) X(17, 301) \
	X(18, 302) X(19, 303) X(20, 304) X(21, 305) X(22, 307) X(23, 308) X(24, 400) X(25, 401) \
	X(26, 402) X(27, 403) X(28, 404) X(29, 405) X(30, 406) X(31, 407) X(32, 408) X(33, 409) \
	X(34, 410) X(35, 411) X(36, 412) X(37, 413) X(38, 414) X(39, 415) X(40, 416) X(41, 417) \
	X(42, 418) X(43, 421) X(44, 422) X(45, 423) X(46, 424) X(47, 425) X(48, 426) X(49, 428) \
	X(50, 429) X(51, 431) X(52, 451) X(53, 500) X(54, 501) X(55, 502) X(56, 503) X(57, 504) \
	X(58, 505) X(59, 506) X(60, 507) X(61, 508) X(62, 511) X(63, 499)
/* clang-format on */

#define TW_STATUS_ENTRY(index, code) [code] = index,

/* Status code -> index; 0 in the code means none was seen. */
static const unsigned char tw_status_index[TW_STATUS_TABLE] = { [0] = 1, TW_STATUSES(TW_STATUS_ENTRY) };

#undef TW_STATUS_ENTRY

#endif
