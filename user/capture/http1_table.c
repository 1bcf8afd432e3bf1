// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "capture/http1_table.h"

#include <string.h>

/* Character classes: as many as the grammar tells apart. Letters do not depend on case. */
enum {
	C_CTL,
	C_TAB,
	C_CR,
	C_LF,
	C_SP,
	C_LETTER, /* 'a' + i */
	C_DIGIT = C_LETTER + 26,
	C_ONE,
	C_DASH,
	C_COLON,
	C_SLASH,
	C_QUERY,
	C_DOT,
	C_COMMA,
	C_SEMICOLON,
	C_TOKEN,   /* the other characters of RFC 9110's token */
	C_VISIBLE, /* and DEL, which does not end a target either: the server will say what it thinks of it */
	C_HIGH,    /* 0x80 and above */
	C_NR,
};

_Static_assert(C_NR <= H1_CLASSES, "a row has room for every class");
_Static_assert((int)H1_TABLE_END <= (int)H1_BODY, "table states and counting states are apart");

static __u8 class_of(unsigned int c)
{
	static const struct {
		char c;
		__u8 class;
	} single[] = {
		{ '\t', C_TAB },  { '\r', C_CR },  { '\n', C_LF },   { ' ', C_SP },
		{ '1', C_ONE },   { '-', C_DASH }, { ':', C_COLON }, { '/', C_SLASH },
		{ '?', C_QUERY }, { '.', C_DOT },  { ',', C_COMMA }, { ';', C_SEMICOLON },
	};

	for (size_t i = 0; i < sizeof(single) / sizeof(*single); i++)
		if ((unsigned char)single[i].c == c)
			return single[i].class;
	if (c >= 0x80)
		return C_HIGH;
	if (c < 0x20)
		return C_CTL;
	if (c >= '0' && c <= '9')
		return C_DIGIT;
	if ((c | 0x20) >= 'a' && (c | 0x20) <= 'z')
		return C_LETTER + (c | 0x20) - 'a';
	return strchr("!#$%&'*+^_`|~", (int)c) ? C_TOKEN : C_VISIBLE;
}

static int is_letter(int class)
{
	return class >= C_LETTER && class < C_LETTER + 26;
}

static int is_digit(int class)
{
	return class == C_DIGIT || class == C_ONE;
}

static int is_token(int class)
{
	return is_letter(class) || is_digit(class) || class == C_DASH || class == C_DOT || class == C_TOKEN;
}

static int is_hex(int class)
{
	return is_digit(class) || (class >= C_LETTER && class < C_LETTER + 6);
}

/* Bytes that end a request target. */
static int is_blank(int class)
{
	return class <= C_SP;
}

__u8 h1_classes[256];
__u16 h1_transitions[H1_STATES * H1_CLASSES];

static void on(int state, int class, int next, int action)
{
	h1_transitions[state * H1_CLASSES + class] = (__u16)(next | action << 8);
}

static void on_any(int state, int next, int action)
{
	for (int c = 0; c < C_NR; c++)
		on(state, c, next, action);
}

static void on_if(int state, int (*is)(int), int next, int action)
{
	for (int c = 0; c < C_NR; c++)
		if (is(c))
			on(state, c, next, action);
}

static int letter(char c)
{
	return class_of((unsigned char)c);
}

/* The end of a line: CR LF, or a bare LF, which servers take too. */
static void on_eol(int state, int cr, int lf, int action)
{
	on(state, C_CR, cr, H1_A_NONE);
	on(state, C_LF, lf, action);
}

/* A chain of states that spells a word; the first state stands before its first letter. */
static void spell(int first, const char *word, int then)
{
	for (int i = 0; word[i]; i++)
		on(first + i, letter(word[i]), word[i + 1] ? first + i + 1 : then, H1_A_NONE);
}

static void build_request_line(void)
{
	on(H1_REQ, C_CR, H1_REQ, H1_A_NONE); /* empty lines before a request are passed over (RFC 9112, 2.2) */
	on(H1_REQ, C_LF, H1_REQ, H1_A_NONE);
	on_if(H1_REQ, is_token, H1_METHOD, H1_A_METHOD_FIRST);
	on_if(H1_METHOD, is_token, H1_METHOD, H1_A_METHOD);
	on(H1_METHOD, C_SP, H1_TARGET, H1_A_METHOD_END);
	on_any(H1_TARGET, H1_PATH, H1_A_PATH_FIRST);
	on_if(H1_TARGET, is_blank, H1_BAD, H1_A_BAD);
	on(H1_TARGET, C_QUERY, H1_BAD, H1_A_BAD);
	on_any(H1_PATH, H1_PATH, H1_A_PATH);
	on_if(H1_PATH, is_blank, H1_BAD, H1_A_BAD);
	on(H1_PATH, C_SLASH, H1_PATH, H1_A_SLASH);
	on(H1_PATH, C_QUERY, H1_QUERY, H1_A_PATH_END);
	on(H1_PATH, C_SP, H1_VERSION, H1_A_PATH_END);
	on_any(H1_QUERY, H1_QUERY, H1_A_NONE);
	on_if(H1_QUERY, is_blank, H1_BAD, H1_A_BAD);
	on(H1_QUERY, C_SP, H1_VERSION, H1_A_NONE);
	spell(H1_VERSION, "http/1.", H1_VERSION_MINOR);
	on_if(H1_VERSION_MINOR, is_digit, H1_EOL, H1_A_NONE);
	on(H1_EOL, C_SP, H1_EOL, H1_A_NONE);
	on_eol(H1_EOL, H1_EOL_LF, H1_LINE, H1_A_NONE);
	on(H1_EOL_LF, C_LF, H1_LINE, H1_A_NONE);
}

static void build_status_line(void)
{
	spell(H1_RES, "http/1.", H1_RES_MINOR);
	on_if(H1_RES_MINOR, is_digit, H1_RES_SP, H1_A_NONE);
	on(H1_RES_SP, C_SP, H1_STATUS, H1_A_NONE);
	for (int i = 0; i < 3; i++)
		on_if(H1_STATUS + i, is_digit, H1_STATUS + i + 1, H1_A_STATUS);
	on(H1_STATUS_END, C_SP, H1_SKIP, H1_A_NONE);
	on_eol(H1_STATUS_END, H1_EOL_LF, H1_LINE, H1_A_NONE);
}

/* A number, or a list of the same (RFC 9112, 6.3), of which elements may be empty (RFC 9110, 5.6.1). */
static void build_length(void)
{
	on_if(H1_CL_OWS, is_digit, H1_CL_DIGIT, H1_A_CL_FIRST);
	on_if(H1_CL_DIGIT, is_digit, H1_CL_DIGIT, H1_A_CL_DIGIT);
	on(H1_CL_DIGIT, C_SP, H1_CL_END, H1_A_CL_DONE);
	on(H1_CL_DIGIT, C_TAB, H1_CL_END, H1_A_CL_DONE);
	on(H1_CL_DIGIT, C_COMMA, H1_CL_MORE, H1_A_CL_DONE);
	on(H1_CL_DIGIT, C_CR, H1_EOL_LF, H1_A_CL_DONE);
	on(H1_CL_DIGIT, C_LF, H1_LINE, H1_A_CL_DONE);
	for (int state = H1_CL_END; state <= H1_CL_MORE; state++) {
		on(state, C_SP, state, H1_A_NONE);
		on(state, C_TAB, state, H1_A_NONE);
		on(state, C_COMMA, H1_CL_MORE, H1_A_NONE);
		on_eol(state, H1_EOL_LF, H1_LINE, H1_A_NONE);
	}
	on_if(H1_CL_MORE, is_digit, H1_CL_DIGIT, H1_A_CL_FIRST);
}

static void build_content_length(void)
{
	static const char name[] = "content-length";

	on(H1_LINE, letter(name[0]), H1_CL, H1_A_NONE);
	for (int i = 0; i < 14; i++) {
		on_any(H1_CL + i, H1_SKIP, H1_A_NONE);
		on(H1_CL + i, C_LF, H1_LINE, H1_A_NONE);
		if (name[i + 1])
			on(H1_CL + i, letter(name[i + 1]), H1_CL + i + 1, H1_A_NONE);
		else
			on(H1_CL + i, C_COLON, H1_CL_OWS, H1_A_NONE);
	}
	on(H1_CL_OWS, C_SP, H1_CL_OWS, H1_A_NONE);
	on(H1_CL_OWS, C_TAB, H1_CL_OWS, H1_A_NONE);
	on(H1_CL_OWS, C_COMMA, H1_CL_OWS, H1_A_NONE);
	build_length();
}

/* The last coding decides: "chunked" frames the message, any other ends it with the connection. */
static void build_transfer_encoding(void)
{
	static const char name[] = "transfer-encoding", coding[] = "chunked";

	on(H1_LINE, letter(name[0]), H1_TE, H1_A_NONE);
	for (int i = 0; i < 17; i++) {
		on_any(H1_TE + i, H1_SKIP, H1_A_NONE);
		on(H1_TE + i, C_LF, H1_LINE, H1_A_NONE);
		if (name[i + 1])
			on(H1_TE + i, letter(name[i + 1]), H1_TE + i + 1, H1_A_NONE);
		else
			on(H1_TE + i, C_COLON, H1_TE_TOKEN, H1_A_NONE);
	}
	on_any(H1_TE_TOKEN, H1_TE_OTHER, H1_A_OTHER_CODING);
	on(H1_TE_TOKEN, C_SP, H1_TE_TOKEN, H1_A_NONE);
	on(H1_TE_TOKEN, C_TAB, H1_TE_TOKEN, H1_A_NONE);
	on(H1_TE_TOKEN, C_COMMA, H1_TE_TOKEN, H1_A_NONE);
	on(H1_TE_TOKEN, letter('c'), H1_TE_CHUNKED, H1_A_NONE);
	on_eol(H1_TE_TOKEN, H1_EOL_LF, H1_LINE, H1_A_NONE);
	for (int i = 0; i < 7; i++) {
		int state = H1_TE_CHUNKED + i;

		on_any(state, H1_TE_OTHER, H1_A_OTHER_CODING);
		on(state, C_COMMA, H1_TE_TOKEN, H1_A_OTHER_CODING);
		on(state, C_CR, H1_EOL_LF, H1_A_OTHER_CODING);
		on(state, C_LF, H1_LINE, H1_A_OTHER_CODING);
		if (coding[i + 1])
			on(state, letter(coding[i + 1]), state + 1, H1_A_NONE);
	}
	on(H1_TE_CHUNKED + 6, C_COMMA, H1_TE_TOKEN, H1_A_CHUNKED);
	on(H1_TE_CHUNKED + 6, C_SP, H1_TE_AFTER, H1_A_CHUNKED);
	on(H1_TE_CHUNKED + 6, C_TAB, H1_TE_AFTER, H1_A_CHUNKED);
	on(H1_TE_CHUNKED + 6, C_CR, H1_EOL_LF, H1_A_CHUNKED);
	on(H1_TE_CHUNKED + 6, C_LF, H1_LINE, H1_A_CHUNKED);
	on_any(H1_TE_AFTER, H1_TE_OTHER, H1_A_OTHER_CODING);
	on(H1_TE_AFTER, C_SP, H1_TE_AFTER, H1_A_NONE);
	on(H1_TE_AFTER, C_TAB, H1_TE_AFTER, H1_A_NONE);
	on(H1_TE_AFTER, C_COMMA, H1_TE_TOKEN, H1_A_NONE);
	on_eol(H1_TE_AFTER, H1_EOL_LF, H1_LINE, H1_A_NONE);
	on_any(H1_TE_OTHER, H1_TE_OTHER, H1_A_NONE);
	on(H1_TE_OTHER, C_COMMA, H1_TE_TOKEN, H1_A_NONE);
	on_eol(H1_TE_OTHER, H1_EOL_LF, H1_LINE, H1_A_NONE);
}

static void build_headers(void)
{
	on_any(H1_LINE, H1_SKIP, H1_A_NONE);
	on(H1_LINE, C_CR, H1_END_LF, H1_A_NONE);
	on(H1_LINE, C_LF, H1_LOST, H1_A_HEAD_END); /* the caller sets the state that follows */
	on(H1_END_LF, C_LF, H1_LOST, H1_A_HEAD_END);
	on_any(H1_SKIP, H1_SKIP, H1_A_NONE);
	on(H1_SKIP, C_LF, H1_LINE, H1_A_NONE);
	build_content_length();
	build_transfer_encoding();
}

static void build_chunks(void)
{
	on_if(H1_CHUNK, is_hex, H1_CHUNK_SIZE, H1_A_CHUNK_FIRST);
	on_if(H1_CHUNK_SIZE, is_hex, H1_CHUNK_SIZE, H1_A_CHUNK_DIGIT);
	on(H1_CHUNK_SIZE, C_SEMICOLON, H1_CHUNK_EXT, H1_A_NONE);
	on(H1_CHUNK_SIZE, C_SP, H1_CHUNK_EXT, H1_A_NONE);
	on(H1_CHUNK_SIZE, C_TAB, H1_CHUNK_EXT, H1_A_NONE);
	on_eol(H1_CHUNK_SIZE, H1_CHUNK_LF, H1_LOST, H1_A_CHUNK_GO);
	on_any(H1_CHUNK_EXT, H1_CHUNK_EXT, H1_A_NONE);
	on(H1_CHUNK_EXT, C_LF, H1_LOST, H1_A_CHUNK_GO);
	on(H1_CHUNK_LF, C_LF, H1_LOST, H1_A_CHUNK_GO);
	on_eol(H1_CHUNK_END, H1_CHUNK_END_LF, H1_CHUNK, H1_A_NONE);
	on(H1_CHUNK_END_LF, C_LF, H1_CHUNK, H1_A_NONE);
	on_any(H1_TRAILER, H1_TRAILER_SKIP, H1_A_NONE);
	on_eol(H1_TRAILER, H1_TRAILER_LF, H1_LOST, H1_A_END);
	on_any(H1_TRAILER_SKIP, H1_TRAILER_SKIP, H1_A_NONE);
	on(H1_TRAILER_SKIP, C_LF, H1_TRAILER, H1_A_NONE);
	on(H1_TRAILER_LF, C_LF, H1_LOST, H1_A_END);
}

void http1_table_build(void)
{
	for (unsigned int c = 0; c < 256; c++)
		h1_classes[c] = class_of(c);
	for (int s = 0; s < H1_STATES; s++)
		for (int c = 0; c < H1_CLASSES; c++)
			on(s, c, H1_BAD, H1_A_BAD);
	build_request_line();
	build_status_line();
	build_headers();
	build_chunks();
}
