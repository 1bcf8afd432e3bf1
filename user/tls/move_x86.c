// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "tls/move.h"

#include "tls/decode_arch.h"

/* The number of a whole general register, or of its lower half; REG_NONE for others. */
static uint8_t number(x86_reg r)
{
	regset set = decode__x86_register(r);

	return !set || (set & (set - 1)) ? REG_NONE : (uint8_t)__builtin_ctz(set);
}

static bool is_reg(const cs_x86_op *op)
{
	return op->type == X86_OP_REG && (op->size == 4 || op->size == 8) && number(op->reg) != REG_NONE;
}

/* Known is only what is at a register and a number of bytes. */
static void place(const cs_x86 *x, const cs_x86_op *op, struct move *m)
{
	m->memory = true;
	m->size = op->size ? op->size : UINT8_MAX;
	if (x->addr_size == 8 && op->mem.segment == X86_REG_INVALID && op->mem.index == X86_REG_INVALID &&
	    op->mem.base != X86_REG_INVALID && op->mem.base != X86_REG_RIP) {
		m->base = number(op->mem.base);
		m->n = op->mem.disp;
		return;
	}
	if (op->mem.index != X86_REG_INVALID)
		m->array = true;
}

/* Registers whose values this instruction may put anywhere. */
static regset read_by(const cs_x86 *x)
{
	regset set = 0;

	for (unsigned i = 0; i < x->op_count; i++)
		if (x->operands[i].type == X86_OP_REG)
			set |= decode__x86_register(x->operands[i].reg);
	return set;
}

static void other(const cs_insn *raw, struct move *m)
{
	const cs_x86 *x = &raw->detail->x86;

	m->kind = MOVE_OTHER;
	m->reads = read_by(x);
	for (unsigned i = 0; i < x->op_count; i++)
		if (x->operands[i].type == X86_OP_MEM && (!i || raw->id == X86_INS_XCHG))
			place(x, &x->operands[i], m);
}

static void mov(const cs_insn *raw, struct move *m)
{
	const cs_x86 *x = &raw->detail->x86;
	const cs_x86_op *to = &x->operands[0], *from = &x->operands[1];

	if (x->op_count != 2 || (to->size != 4 && to->size != 8)) {
		other(raw, m);
		return;
	}
	m->size = to->size;
	if (to->type == X86_OP_MEM && (from->type == X86_OP_IMM || is_reg(from))) {
		m->kind = MOVE_STORE;
		m->src = from->type == X86_OP_IMM ? REG_NONE : number(from->reg);
		place(x, to, m);
	} else if (is_reg(to) && from->type == X86_OP_MEM) {
		m->kind = MOVE_LOAD;
		m->dst = number(to->reg);
		place(x, from, m);
	} else if (is_reg(to) && from->type == X86_OP_IMM) {
		m->kind = MOVE_CONST;
		m->dst = number(to->reg);
		m->n = to->size == 4 ? (uint32_t)from->imm : from->imm;
	} else if (is_reg(to) && is_reg(from)) {
		m->kind = MOVE_COPY;
		m->dst = number(to->reg);
		m->src = number(from->reg);
	} else {
		other(raw, m);
	}
}

static void lea(const cs_insn *raw, struct move *m)
{
	const cs_x86 *x = &raw->detail->x86;
	const cs_x86_op *to = &x->operands[0];
	const x86_op_mem *from = &x->operands[1].mem;

	if (x->op_count != 2 || to->size != 8 || !is_reg(to) || x->addr_size != 8 || from->index != X86_REG_INVALID ||
	    from->base == X86_REG_INVALID) {
		other(raw, m);
		m->reads |= decode__x86_register(from->base) | decode__x86_register(from->index);
		return;
	}
	m->dst = number(to->reg);
	if (from->base == X86_REG_RIP) {
		m->kind = MOVE_CONST;
		m->n = (int64_t)(raw->address + raw->size + (uint64_t)from->disp);
		return;
	}
	m->kind = MOVE_ADDRESS;
	m->base = number(from->base);
	m->n = from->disp;
}

/* Of 8 bytes, as all are that compilers make. */
static bool is_whole(const cs_insn *raw)
{
	const cs_x86 *x = &raw->detail->x86;

	return x->op_count == 1 && x->prefix[2] != 0x66 && x->operands[0].type != X86_OP_INVALID;
}

static void push(const cs_insn *raw, struct move *m)
{
	const cs_x86_op *op = raw->detail->x86.operands;

	m->kind = is_whole(raw) ? MOVE_PUSH : MOVE_ANYTHING;
	if (m->kind == MOVE_PUSH && is_reg(op))
		m->src = number(op->reg);
}

static void pop(const cs_insn *raw, struct move *m)
{
	const cs_x86_op *op = raw->detail->x86.operands;

	m->kind = is_whole(raw) && is_reg(op) ? MOVE_POP : MOVE_ANYTHING;
	if (m->kind == MOVE_POP)
		m->dst = number(op->reg);
}

/* Two operands that compute: a register of its own with itself is a constant, a constant shifts an address. */
static void compute(const cs_insn *raw, struct move *m)
{
	const cs_x86 *x = &raw->detail->x86;
	const cs_x86_op *to = &x->operands[0], *by = &x->operands[1];

	other(raw, m);
	if (x->op_count != 2 || !is_reg(to))
		return;
	if ((raw->id == X86_INS_XOR || raw->id == X86_INS_SUB) && by->type == X86_OP_REG && by->reg == to->reg) {
		m->kind = MOVE_CONST;
		m->dst = number(to->reg);
		m->size = to->size;
	} else if ((raw->id == X86_INS_ADD || raw->id == X86_INS_SUB) && by->type == X86_OP_IMM && to->size == 8) {
		m->kind = MOVE_ADDRESS;
		m->dst = m->base = number(to->reg);
		m->n = raw->id == X86_INS_ADD ? by->imm : -by->imm;
	} else if (raw->id == X86_INS_AND || raw->id == X86_INS_OR) {
		m->compared = number(to->reg);
	}
}

static void compare(const cs_insn *raw, struct move *m)
{
	const cs_x86 *x = &raw->detail->x86;
	const cs_x86_op *a = &x->operands[0], *b = &x->operands[1];

	m->kind = MOVE_NOTHING;
	if (x->op_count != 2 || !is_reg(a))
		return;
	if (raw->id == X86_INS_TEST && b->type == X86_OP_REG && b->reg == a->reg)
		m->compared = number(a->reg);
	if (raw->id != X86_INS_CMP || b->type != X86_OP_IMM)
		return;
	m->compared = number(a->reg);
	m->with = (int32_t)b->imm;
}

static void transfer(const cs_insn *raw, struct move *m)
{
	const cs_x86_op *op = raw->detail->x86.operands;

	m->kind = raw->id == X86_INS_CALL ? MOVE_CALL : MOVE_JUMP;
	if (raw->detail->x86.op_count != 1)
		return;
	if (op->type == X86_OP_IMM && raw->id == X86_INS_JMP)
		m->kind = MOVE_NOTHING;
	else if (op->type == X86_OP_REG)
		m->src = number(op->reg);
	else if (op->type == X86_OP_MEM)
		place(&raw->detail->x86, op, m);
}

void decode__x86_move(const cs_insn *raw, struct move *m)
{
	*m = (struct move){ .dst = REG_NONE, .src = REG_NONE, .base = REG_NONE, .compared = REG_NONE };
	switch (raw->id) {
	case X86_INS_MOV:
	case X86_INS_MOVABS:
		mov(raw, m);
		break;
	case X86_INS_LEA:
		lea(raw, m);
		break;
	case X86_INS_PUSH:
		push(raw, m);
		break;
	case X86_INS_POP:
		pop(raw, m);
		break;
	case X86_INS_LEAVE:
		m->kind = raw->detail->x86.prefix[2] == 0x66 ? MOVE_ANYTHING : MOVE_LEAVE;
		break;
	case X86_INS_XOR:
	case X86_INS_SUB:
	case X86_INS_ADD:
	case X86_INS_AND:
	case X86_INS_OR:
		compute(raw, m);
		break;
	case X86_INS_CMP:
	case X86_INS_TEST:
		compare(raw, m);
		break;
	case X86_INS_NOP:
	case X86_INS_ENDBR64:
		m->kind = MOVE_NOTHING;
		break;
	case X86_INS_CALL:
	case X86_INS_JMP:
		transfer(raw, m);
		break;
	default:
		other(raw, m);
	}
}
