// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Which instructions the kernel emulates under a uprobe: arch/x86/kernel/uprobes.c, branch_setup_xol_ops() (jmp, jcc
 * and call with a relative target, nop) and push_setup_xol_ops(). Only the plain forms without a prefix are taken, and
 * only those that every kernel since 4.16 emulates; later ones emulate a few more.
 */
#include "tls/decode_arch.h"

#include <string.h>

#define BIT(n) ((regset)1 << (n))

/* How an instruction of our tables changes general registers. */
enum effect {
	UNKNOWN,
	FIRST, /* its first operand, when that is a register */
	NONE,
	PUSHES, /* the stack pointer */
	POPS,   /* its first operand, and the stack pointer */
	BOTH,   /* its first two operands */
	RAX_IS, /* rax */
	RDX_IS,
	RAX_RDX,
	FRAME, /* rbp, rsp */
};

static enum effect moves(unsigned id)
{
	switch (id) {
	case X86_INS_MOV:
	case X86_INS_MOVABS:
	case X86_INS_MOVZX:
	case X86_INS_MOVSX:
	case X86_INS_MOVSXD:
	case X86_INS_LEA:
	case X86_INS_MOVD:
	case X86_INS_MOVQ:
	case X86_INS_BSWAP:
		return FIRST;
	case X86_INS_NOP:
	case X86_INS_ENDBR64:
	case X86_INS_MOVAPS:
	case X86_INS_MOVAPD:
	case X86_INS_MOVUPS:
	case X86_INS_MOVUPD:
	case X86_INS_MOVDQA:
	case X86_INS_MOVDQU:
	case X86_INS_MOVHPS:
	case X86_INS_MOVLPS:
	case X86_INS_PXOR:
	case X86_INS_XORPS:
	case X86_INS_PUNPCKLQDQ:
	case X86_INS_PREFETCHT0:
		return NONE;
	case X86_INS_PUSH:
		return PUSHES;
	case X86_INS_POP:
		return POPS;
	case X86_INS_XCHG:
	case X86_INS_XADD:
		return BOTH;
	case X86_INS_CDQE:
	case X86_INS_CWDE:
		return RAX_IS;
	case X86_INS_CDQ:
	case X86_INS_CQO:
		return RDX_IS;
	case X86_INS_LEAVE:
		return FRAME;
	default:
		return UNKNOWN;
	}
}

static enum effect computes(const cs_insn *raw)
{
	switch (raw->id) {
	case X86_INS_ADD:
	case X86_INS_ADC:
	case X86_INS_SUB:
	case X86_INS_SBB:
	case X86_INS_AND:
	case X86_INS_OR:
	case X86_INS_XOR:
	case X86_INS_INC:
	case X86_INS_DEC:
	case X86_INS_NEG:
	case X86_INS_NOT:
	case X86_INS_SHL:
	case X86_INS_SHR:
	case X86_INS_SAL:
	case X86_INS_SAR:
	case X86_INS_ROL:
	case X86_INS_ROR:
	case X86_INS_SHLD:
	case X86_INS_SHRD:
	case X86_INS_BSF:
	case X86_INS_BSR:
	case X86_INS_TZCNT:
	case X86_INS_LZCNT:
	case X86_INS_POPCNT:
	case X86_INS_BTS:
	case X86_INS_BTR:
	case X86_INS_BTC:
		return FIRST;
	case X86_INS_CMP:
	case X86_INS_TEST:
	case X86_INS_BT:
		return NONE;
	case X86_INS_IMUL:
		return raw->detail->x86.op_count >= 2 ? FIRST : RAX_RDX;
	case X86_INS_MUL:
	case X86_INS_DIV:
	case X86_INS_IDIV:
		return RAX_RDX;
	default:
		return UNKNOWN;
	}
}

static bool sets_or_moves_on_condition(unsigned id)
{
	switch (id) {
	case X86_INS_SETA:
	case X86_INS_SETAE:
	case X86_INS_SETB:
	case X86_INS_SETBE:
	case X86_INS_SETE:
	case X86_INS_SETNE:
	case X86_INS_SETG:
	case X86_INS_SETGE:
	case X86_INS_SETL:
	case X86_INS_SETLE:
	case X86_INS_SETS:
	case X86_INS_SETNS:
	case X86_INS_CMOVA:
	case X86_INS_CMOVAE:
	case X86_INS_CMOVB:
	case X86_INS_CMOVBE:
	case X86_INS_CMOVE:
	case X86_INS_CMOVNE:
	case X86_INS_CMOVG:
	case X86_INS_CMOVGE:
	case X86_INS_CMOVL:
	case X86_INS_CMOVLE:
	case X86_INS_CMOVS:
	case X86_INS_CMOVNS:
		return true;
	default:
		return false;
	}
}

static enum effect effect_of(const cs_insn *raw)
{
	enum effect f = moves(raw->id);

	if (f == UNKNOWN)
		f = computes(raw);
	if (f == UNKNOWN && sets_or_moves_on_condition(raw->id))
		f = FIRST;
	return f;
}

regset decode__x86_register(x86_reg r)
{
	static const struct {
		uint16_t r64, r32, r16, r8, high;
	} old[] = {
		{ X86_REG_RAX, X86_REG_EAX, X86_REG_AX, X86_REG_AL, X86_REG_AH },
		{ X86_REG_RCX, X86_REG_ECX, X86_REG_CX, X86_REG_CL, X86_REG_CH },
		{ X86_REG_RDX, X86_REG_EDX, X86_REG_DX, X86_REG_DL, X86_REG_DH },
		{ X86_REG_RBX, X86_REG_EBX, X86_REG_BX, X86_REG_BL, X86_REG_BH },
		{ X86_REG_RSP, X86_REG_ESP, X86_REG_SP, X86_REG_SPL, X86_REG_INVALID },
		{ X86_REG_RBP, X86_REG_EBP, X86_REG_BP, X86_REG_BPL, X86_REG_INVALID },
		{ X86_REG_RSI, X86_REG_ESI, X86_REG_SI, X86_REG_SIL, X86_REG_INVALID },
		{ X86_REG_RDI, X86_REG_EDI, X86_REG_DI, X86_REG_DIL, X86_REG_INVALID },
	};

	if (r == X86_REG_INVALID)
		return REGS_ALL;
	for (unsigned i = 0; i < 8; i++)
		if (r == old[i].r64 || r == old[i].r32 || r == old[i].r16 || r == old[i].r8 || r == old[i].high)
			return BIT(i);
	if (r >= X86_REG_R8 && r <= X86_REG_R15)
		return BIT(R8 + (r - X86_REG_R8));
	if (r >= X86_REG_R8B && r <= X86_REG_R15B)
		return BIT(R8 + (r - X86_REG_R8B));
	if (r >= X86_REG_R8D && r <= X86_REG_R15D)
		return BIT(R8 + (r - X86_REG_R8D));
	if (r >= X86_REG_R8W && r <= X86_REG_R15W)
		return BIT(R8 + (r - X86_REG_R8W));
	if (r >= X86_REG_XMM0 && r <= X86_REG_XMM31)
		return 0;
	return REGS_ALL;
}

static regset operand(const cs_x86 *x, unsigned i)
{
	if (i >= x->op_count)
		return REGS_ALL;
	return x->operands[i].type == X86_OP_REG ? decode__x86_register(x->operands[i].reg) : 0;
}

static regset changes(const cs_insn *raw, enum effect f)
{
	const cs_x86 *x = &raw->detail->x86;

	switch (f) {
	case FIRST:
		return operand(x, 0);
	case NONE:
		return 0;
	case PUSHES:
		return BIT(RSP);
	case POPS:
		return operand(x, 0) | BIT(RSP);
	case BOTH:
		return operand(x, 0) | operand(x, 1);
	case RAX_IS:
		return BIT(RAX);
	case RDX_IS:
		return BIT(RDX);
	case RAX_RDX:
		return BIT(RAX) | BIT(RDX);
	case FRAME:
		return BIT(RBP) | BIT(RSP);
	default:
		return REGS_ALL;
	}
}

/* `movslq %edx,%rdx`, `mov %edx,%edx`: an int argument stays what it is. */
static regset keeps_half(const cs_insn *raw)
{
	const cs_x86_op *op = raw->detail->x86.operands;
	regset to, from;

	if ((raw->id != X86_INS_MOVSXD && raw->id != X86_INS_MOV) || raw->detail->x86.op_count != 2 ||
	    op[0].type != X86_OP_REG || op[1].type != X86_OP_REG || op[1].size != 4 || op[0].size < 4)
		return 0;
	to = decode__x86_register(op[0].reg);
	from = decode__x86_register(op[1].reg);
	return to == from ? to : 0;
}

static bool in_group(const cs_insn *raw, uint8_t group)
{
	for (unsigned i = 0; i < raw->detail->groups_count; i++)
		if (raw->detail->groups[i] == group)
			return true;
	return false;
}

static bool may_jump(const cs_insn *raw)
{
	return in_group(raw, X86_GRP_JUMP) || in_group(raw, X86_GRP_CALL) || in_group(raw, X86_GRP_RET) ||
	       in_group(raw, X86_GRP_IRET) || in_group(raw, X86_GRP_BRANCH_RELATIVE) || in_group(raw, X86_GRP_INT);
}

/* By its bytes: what the kernel itself looks at. */
static bool is_emulated(const uint8_t *b, unsigned len)
{
	switch (b[0]) {
	case 0x50 ... 0x57: /* push */
	case 0x90:
		return len == 1;
	case 0x41: /* push r8 ... r15 */
		return len == 2 && b[1] >= 0x50 && b[1] <= 0x57;
	case 0x70 ... 0x7f: /* jcc */
	case 0xeb:          /* jmp */
		return len == 2;
	case 0xe8: /* call */
	case 0xe9: /* jmp */
		return len == 5;
	case 0x0f: /* jcc */
		return len == 6 && b[1] >= 0x80 && b[1] <= 0x8f;
	default:
		return false;
	}
}

/* The kernel refuses probes on instructions with some of the prefixes; we leave all of these alone. */
static bool has_odd_prefix(const uint8_t *b, unsigned len)
{
	for (unsigned i = 0; i < len; i++) {
		switch (b[i]) {
		case 0xf0: /* lock */
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e: /* segments */
		case 0x67:
			return true;
		case 0x64:
		case 0x65: /* fs, gs */
		case 0x66:
		case 0xf2:
		case 0xf3:
			continue;
		default:
			return false;
		}
	}
	return true;
}

static bool is_conditional(unsigned id)
{
	switch (id) {
	case X86_INS_JA:
	case X86_INS_JAE:
	case X86_INS_JB:
	case X86_INS_JBE:
	case X86_INS_JE:
	case X86_INS_JNE:
	case X86_INS_JG:
	case X86_INS_JGE:
	case X86_INS_JL:
	case X86_INS_JLE:
	case X86_INS_JO:
	case X86_INS_JNO:
	case X86_INS_JP:
	case X86_INS_JNP:
	case X86_INS_JS:
	case X86_INS_JNS:
	case X86_INS_JCXZ:
	case X86_INS_JECXZ:
	case X86_INS_JRCXZ:
		return true;
	default:
		return false;
	}
}

static bool immediate(const cs_x86 *x, uint64_t *target)
{
	if (x->op_count != 1 || x->operands[0].type != X86_OP_IMM || x->prefix[2] == 0x66) /* makers disagree on 66 */
		return false;
	*target = (uint64_t)x->operands[0].imm;
	return true;
}

/* `jmp *disp(%rip)`: a call that is a function's last act, or a stub of the linker's. Tables of jumps have an index. */
static bool leaves(const cs_insn *raw, uint64_t *slot)
{
	const cs_x86_op *op = raw->detail->x86.operands;

	if (raw->detail->x86.op_count != 1 || op->type != X86_OP_MEM || op->mem.base != X86_REG_RIP ||
	    op->mem.index != X86_REG_INVALID || op->mem.segment != X86_REG_INVALID)
		return false;
	*slot = raw->address + raw->size + (uint64_t)op->mem.disp;
	return true;
}

static bool control_flow(const cs_insn *raw, struct insn *in)
{
	const cs_x86 *x = &raw->detail->x86;

	if (is_conditional(raw->id)) {
		in->changes = 0;
		in->kind = immediate(x, &in->target) ? INSN_BRANCH : INSN_ANYWHERE;
		return true;
	}
	switch (raw->id) {
	case X86_INS_JMP:
		in->changes = 0;
		if (immediate(x, &in->target))
			in->kind = INSN_JUMP;
		else if (leaves(raw, &in->target))
			in->kind = INSN_LEAVES;
		return true;
	case X86_INS_CALL:
		in->kind = x->prefix[2] == 0x66 ? INSN_ANYWHERE : INSN_CALL;
		immediate(x, &in->target);
		return true;
	case X86_INS_RET:
		in->kind = INSN_RET;
		in->changes = 0;
		in->steppable = true;
		return true;
	case X86_INS_UD2:
	case X86_INS_INT3:
	case X86_INS_HLT:
		in->kind = INSN_STOP;
		return true;
	default:
		return false;
	}
}

void decode__x86(const cs_insn *raw, struct insn *in)
{
	enum effect f;

	in->emulated = is_emulated(raw->bytes, raw->size);
	if (control_flow(raw, in))
		return;
	f = effect_of(raw);
	if (f == UNKNOWN && may_jump(raw))
		return;
	in->kind = INSN_PLAIN;
	in->changes = changes(raw, f);
	in->keeps_half = keeps_half(raw);
	in->steppable = f != UNKNOWN && !in->emulated && !has_odd_prefix(raw->bytes, raw->size);
}
