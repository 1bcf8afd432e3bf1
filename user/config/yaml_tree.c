// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "config/yaml_tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct builder {
	const struct source *s;
	const char *text;
	size_t len;
	struct ynode *root;
	struct ynode *open[YTREE_DEPTH]; /* from the root to the collection being filled */
	size_t depth, nodes;
	char *key; /* read, and waiting for its value */
	int key_line;
	bool done;
};

const char *ynode_kind_name(const struct ynode *n)
{
	static const char *const names[] = { "a single value", "a list", "a mapping" };

	return n->is_null ? "nothing" : names[n->kind];
}

/* Recursion is bounded: a tree has at most YTREE_DEPTH levels. */
void ytree__free(struct ynode *root)
{
	struct ynode *child, *next;

	if (!root)
		return;
	for (child = root->first; child; child = next) {
		next = child->next;
		ytree__free(child);
	}
	free(root->key);
	free(root->text);
	free(root);
}

/* Escapes ("\0", "\e", "\x85") can bring in what the text itself may not hold. */
static bool has_control(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c < 0x20 || c == 0x7f)
			return true;
		if (c == 0xc2 && i + 1 < len && (unsigned char)text[i + 1] < 0xa0)
			return true;
	}
	return false;
}

static int check_plain(const struct builder *b, int line, const yaml_char_t *anchor, const yaml_char_t *tag)
{
	if (anchor)
		return source_error(b->s, line,
		                    "anchors (&name) are not supported: write the value out where it is used");
	if (tag)
		return source_error(b->s, line, "tags (!name) are not supported: write the plain value");
	return 0;
}

static void add_node(struct builder *b, struct ynode *n)
{
	struct ynode *parent = b->depth ? b->open[b->depth - 1] : NULL;

	if (!parent) {
		b->root = n;
		return;
	}
	n->key = b->key;
	b->key = NULL;
	if (parent->last)
		parent->last->next = n;
	else
		parent->first = n;
	parent->last = n;
	parent->n++;
}

static int new_node(struct builder *b, enum ynode_kind kind, int line, struct ynode **out)
{
	struct ynode *n;

	if (++b->nodes > YTREE_NODES)
		return source_error(b->s, line, "more than %d values: this is no configuration", YTREE_NODES);
	n = calloc(1, sizeof(*n));
	if (!n)
		return source_nomem(b->s);
	n->kind = kind;
	n->line = line;
	*out = n;
	return 0;
}

static int open_collection(struct builder *b, enum ynode_kind kind, int line)
{
	struct ynode *n;
	int err;

	if (b->depth && b->open[b->depth - 1]->kind == YNODE_MAPPING && !b->key)
		return source_error(b->s, line, "a key must be a single word; quote values that begin with { or [");
	if (b->depth == YTREE_DEPTH)
		return source_error(b->s, line, "nested deeper than %d levels", YTREE_DEPTH);
	err = new_node(b, kind, b->key ? b->key_line : line, &n);
	if (err)
		return err;
	add_node(b, n);
	b->open[b->depth++] = n;
	return 0;
}

static int take_key(struct builder *b, int line, const char *text)
{
	const struct ynode *mapping = b->open[b->depth - 1];
	char buf[CLIP_LEN];

	for (const struct ynode *n = mapping->first; n; n = n->next)
		if (strcmp(n->key, text) == 0)
			return source_error(b->s, line, "\"%s\" is given twice (first on line %d): keep one of them",
			                    clip(text, buf), n->line);
	b->key = strdup(text);
	b->key_line = line;
	return b->key ? 0 : source_nomem(b->s);
}

static bool says_nothing(const yaml_event_t *ev)
{
	static const char *const nothing[] = { "", "~", "null", "Null", "NULL" };

	if (ev->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return false;
	for (size_t i = 0; i < sizeof(nothing) / sizeof(nothing[0]); i++)
		if (strcmp((const char *)ev->data.scalar.value, nothing[i]) == 0)
			return true;
	return false;
}

static int take_scalar(struct builder *b, const yaml_event_t *ev, int line)
{
	const char *text = (const char *)ev->data.scalar.value;
	struct ynode *n;
	int err;

	if (has_control(text, ev->data.scalar.length))
		return source_error(
			b->s, line,
			"a value holds a control character or a line break: write it on one line of plain text");
	if (b->depth && b->open[b->depth - 1]->kind == YNODE_MAPPING && !b->key)
		return take_key(b, line, text);
	/* An absent value is marked where the next thing begins; the key's line is the one to look at. */
	err = new_node(b, YNODE_SCALAR, b->key && !*text ? b->key_line : line, &n);
	if (err)
		return err;
	n->is_null = says_nothing(ev);
	n->text = strdup(text);
	add_node(b, n);
	return n->text ? 0 : source_nomem(b->s);
}

static int take_event(struct builder *b, const yaml_event_t *ev)
{
	int line = (int)ev->start_mark.line + 1, err;

	switch (ev->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (b->root)
			return source_error(b->s, line, "a second document begins here (\"---\"): keep one per file");
		return 0;
	case YAML_ALIAS_EVENT:
		return source_error(
			b->s, line,
			"aliases (*name) are not supported: write the value out, or quote it if it begins with *");
	case YAML_SCALAR_EVENT:
		err = check_plain(b, line, ev->data.scalar.anchor, ev->data.scalar.tag);
		return err ? err : take_scalar(b, ev, line);
	case YAML_SEQUENCE_START_EVENT:
		err = check_plain(b, line, ev->data.sequence_start.anchor, ev->data.sequence_start.tag);
		return err ? err : open_collection(b, YNODE_SEQUENCE, line);
	case YAML_MAPPING_START_EVENT:
		err = check_plain(b, line, ev->data.mapping_start.anchor, ev->data.mapping_start.tag);
		return err ? err : open_collection(b, YNODE_MAPPING, line);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		b->depth--;
		return 0;
	case YAML_STREAM_END_EVENT:
		b->done = true;
		return 0;
	default:
		return 0;
	}
}

static int line_of_offset(const struct builder *b, size_t offset)
{
	int line = 1;

	for (size_t i = 0; i < offset && i < b->len; i++)
		line += b->text[i] == '\n';
	return line;
}

/* What usually lies behind a syntax error on this line. */
static const char *syntax_hint(const struct builder *b, int line)
{
	const char *p = b->text, *end = b->text + b->len, *stop;
	bool indent = true;

	for (; line > 1 && p; line--) {
		p = memchr(p, '\n', (size_t)(end - p));
		p = p ? p + 1 : NULL;
	}
	if (!p || p == end)
		return "";
	stop = memchr(p, '\n', (size_t)(end - p));
	for (; p < (stop ? stop : end); p++) {
		if (*p == '\t' && indent)
			return ": tabs cannot indent, use spaces";
		if (*p != ' ')
			indent = false;
		if (*p == '{' || *p == '[' || *p == '*' || *p == '%' || *p == '@' || *p == '`')
			return ": quote values that contain { [ * or %, as in \"GET /cart/{id}\" or \"[::1]:8081\"";
	}
	return "";
}

/* A key without its colon is noticed on the line after; and the end of the text counts as a line of its own. */
static int syntax_line(const struct builder *b, const yaml_parser_t *p)
{
	bool in_key = p->context && strcmp(p->context, "while scanning a simple key") == 0;
	int line = (int)(in_key ? p->context_mark.line : p->problem_mark.line) + 1;
	int last = line_of_offset(b, b->len ? b->len - 1 : 0);

	return line < last ? line : last;
}

static int parser_error(const struct builder *b, const yaml_parser_t *p)
{
	int line;

	switch (p->error) {
	case YAML_MEMORY_ERROR:
		return source_nomem(b->s);
	case YAML_READER_ERROR:
		line = line_of_offset(b, p->problem_offset);
		return source_error(b->s, line, "not readable as UTF-8 text (%s): save the file as UTF-8",
		                    p->problem ? p->problem : "bad byte");
	default:
		line = syntax_line(b, p);
		return source_error(b->s, line, "not valid YAML (%s)%s", p->problem ? p->problem : "syntax",
		                    syntax_hint(b, line));
	}
}

/* The mark that some editors write first: nothing in UTF-8 (RFC 3629, 6), the order of bytes in UTF-16. */
#define BOM_UTF8     "\xef\xbb\xbf"
#define BOM_UTF16_LE "\xff\xfe"
#define BOM_UTF16_BE "\xfe\xff"

static bool begins_with(const struct builder *b, const char *mark)
{
	size_t n = strlen(mark);

	return b->len >= n && memcmp(b->text, mark, n) == 0;
}

/* Without a mark, a text that begins with an ASCII character has a NUL beside it. */
static bool is_utf16(const struct builder *b)
{
	return begins_with(b, BOM_UTF16_LE) || begins_with(b, BOM_UTF16_BE) ||
	       (b->len >= 2 && !b->text[0] != !b->text[1]);
}

static int check_text(const struct source *s, const struct builder *b)
{
	const char *nul, *mark;

	if (b->len > YTREE_BYTES)
		return source_error(s, 0, "larger than 1 MiB: this is no configuration");
	if (is_utf16(b))
		return source_error(s, 1, "the text is UTF-16 or UTF-32: save the file as UTF-8");
	nul = b->len ? memchr(b->text, 0, b->len) : NULL;
	if (nul)
		return source_error(s, line_of_offset(b, (size_t)(nul - b->text)),
		                    "a NUL byte: this is not a text file");
	mark = b->len ? memmem(b->text + 1, b->len - 1, BOM_UTF8, strlen(BOM_UTF8)) : NULL;
	if (mark)
		return source_error(s, line_of_offset(b, (size_t)(mark - b->text)),
		                    "a byte order mark (U+FEFF) inside the text: it may only be its first character");
	return 0;
}

int ytree__parse(struct ynode **out, const struct source *s, const char *text, size_t len)
{
	struct builder b = { .s = s, .text = text, .len = len };
	yaml_parser_t parser;
	yaml_event_t event;
	int err;

	*out = NULL;
	err = check_text(s, &b);
	if (err)
		return err;
	if (begins_with(&b, BOM_UTF8)) {
		b.text += strlen(BOM_UTF8);
		b.len -= strlen(BOM_UTF8);
	}
	if (!yaml_parser_initialize(&parser))
		return source_nomem(s);
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)b.text, b.len);
	while (!err && !b.done) {
		if (!yaml_parser_parse(&parser, &event)) {
			err = parser_error(&b, &parser);
			break;
		}
		err = take_event(&b, &event);
		yaml_event_delete(&event);
	}
	if (!err && (!b.root || b.root->is_null))
		err = source_error(s, 0, "the file is empty: `tillwatch init -o FILE` writes one to start from");
	yaml_parser_delete(&parser);
	free(b.key);
	if (err)
		ytree__free(b.root);
	else
		*out = b.root;
	return err;
}
