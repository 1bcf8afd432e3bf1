// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Which instructions the kernel simulates under a uprobe: arch/arm64/kernel/probes/decode-insn.c,
 * arm_probe_decode_insn(). ldr with a literal, which some versions simulate wrongly, is left out.
 */
#include "tls/decode_arch.h"

#include <string.h>

#define BIT(n) ((regset)1 << (n))
#define LINK   30

enum effect {
	UNKNOWN,
	FIRST, /* its first operand */
	PAIR,  /* its first two */
	NONE
};

static enum effect computes(unsigned id)
{
	switch (id) {
	case ARM64_INS_MOV:
	case ARM64_INS_MOVZ:
	case ARM64_INS_MOVN:
	case ARM64_INS_MOVK:
	case ARM64_INS_ADD:
	case ARM64_INS_SUB:
	case ARM64_INS_AND:
	case ARM64_INS_ORR:
	case ARM64_INS_EOR:
	case ARM64_INS_BIC:
	case ARM64_INS_NEG:
	case ARM64_INS_MVN:
	case ARM64_INS_LSL:
	case ARM64_INS_LSR:
	case ARM64_INS_ASR:
	case ARM64_INS_ROR:
	case ARM64_INS_UBFX:
	case ARM64_INS_UBFIZ:
	case ARM64_INS_SBFX:
	case ARM64_INS_SBFIZ:
	case ARM64_INS_BFI:
	case ARM64_INS_BFXIL:
	case ARM64_INS_SXTB:
	case ARM64_INS_SXTH:
	case ARM64_INS_SXTW:
	case ARM64_INS_UXTB:
	case ARM64_INS_UXTH:
	case ARM64_INS_UXTW:
	case ARM64_INS_CSEL:
	case ARM64_INS_CSET:
	case ARM64_INS_CSETM:
	case ARM64_INS_CSINC:
	case ARM64_INS_CSINV:
	case ARM64_INS_CSNEG:
	case ARM64_INS_CINC:
	case ARM64_INS_CNEG:
	case ARM64_INS_MUL:
	case ARM64_INS_MADD:
	case ARM64_INS_MSUB:
	case ARM64_INS_UMULH:
	case ARM64_INS_UMULL:
	case ARM64_INS_SMULL:
	case ARM64_INS_UDIV:
	case ARM64_INS_SDIV:
	case ARM64_INS_CLZ:
	case ARM64_INS_REV:
	case ARM64_INS_MRS:
	case ARM64_INS_ADR:
	case ARM64_INS_ADRP:
	case ARM64_INS_FMOV:
		return FIRST;
	case ARM64_INS_CMP:
	case ARM64_INS_CMN:
	case ARM64_INS_TST:
	case ARM64_INS_CCMP:
	case ARM64_INS_CCMN:
	case ARM64_INS_NOP:
	case ARM64_INS_PRFM:
	case ARM64_INS_DMB:
		return NONE;
	default:
		return UNKNOWN;
	}
}

static enum effect moves(unsigned id)
{
	switch (id) {
	case ARM64_INS_LDR:
	case ARM64_INS_LDRB:
	case ARM64_INS_LDRH:
	case ARM64_INS_LDRSB:
	case ARM64_INS_LDRSH:
	case ARM64_INS_LDRSW:
	case ARM64_INS_LDUR:
	case ARM64_INS_LDURB:
	case ARM64_INS_LDURH:
	case ARM64_INS_LDURSW:
	case ARM64_INS_LDAR:
		return FIRST;
	case ARM64_INS_LDP:
		return PAIR;
	case ARM64_INS_STR:
	case ARM64_INS_STRB:
	case ARM64_INS_STRH:
	case ARM64_INS_STUR:
	case ARM64_INS_STURB:
	case ARM64_INS_STURH:
	case ARM64_INS_STP:
	case ARM64_INS_STLR:
		return NONE;
	default:
		return UNKNOWN;
	}
}

/* The general register that r is (part of); none for vectors and zero, all for what is not known. */
static regset family(arm64_reg r)
{
	if (r >= ARM64_REG_X0 && r <= ARM64_REG_X28)
		return BIT(r - ARM64_REG_X0);
	if (r >= ARM64_REG_W0 && r <= ARM64_REG_W30)
		return BIT(r - ARM64_REG_W0);
	if (r == ARM64_REG_X29)
		return BIT(29);
	if (r == ARM64_REG_X30)
		return BIT(LINK);
	if (r == ARM64_REG_SP || r == ARM64_REG_WSP || r == ARM64_REG_XZR || r == ARM64_REG_WZR ||
	    (r >= ARM64_REG_B0 && r <= ARM64_REG_S31) || (r >= ARM64_REG_V0 && r <= ARM64_REG_V31))
		return 0;
	return REGS_ALL;
}

static regset operand(const cs_arm64 *a, unsigned i)
{
	return i < a->op_count && a->operands[i].type == ARM64_OP_REG ? family(a->operands[i].reg) : REGS_ALL;
}

/* `ldr x0, [x1], #8` moves x1 on as well. */
static regset moved_base(const cs_arm64 *a)
{
	regset bases = 0;

	for (unsigned i = 0; i < a->op_count && a->writeback; i++)
		if (a->operands[i].type == ARM64_OP_MEM)
			bases |= family(a->operands[i].mem.base);
	return bases;
}

static regset keeps_half(const cs_insn *raw)
{
	const cs_arm64 *a = &raw->detail->arm64;

	if ((raw->id != ARM64_INS_SXTW && raw->id != ARM64_INS_MOV && raw->id != ARM64_INS_UXTW) || a->op_count != 2 ||
	    a->operands[0].type != ARM64_OP_REG || a->operands[1].type != ARM64_OP_REG ||
	    operand(a, 0) != operand(a, 1))
		return 0;
	return operand(a, 0);
}

static bool target_of(const cs_insn *raw, unsigned i, uint64_t *target)
{
	const cs_arm64 *a = &raw->detail->arm64;

	if (i >= a->op_count || a->operands[i].type != ARM64_OP_IMM)
		return false;
	*target = (uint64_t)a->operands[i].imm;
	return true;
}

static bool control_flow(const cs_insn *raw, struct insn *in)
{
	bool known = true;

	in->changes = 0;
	in->emulated = true;
	switch (raw->id) {
	case ARM64_INS_B:
		known = target_of(raw, 0, &in->target);
		in->kind = raw->detail->arm64.cc == ARM64_CC_INVALID || raw->detail->arm64.cc == ARM64_CC_AL
		                   ? INSN_JUMP
		                   : INSN_BRANCH;
		break;
	case ARM64_INS_CBZ:
	case ARM64_INS_CBNZ:
		known = target_of(raw, 1, &in->target);
		in->kind = INSN_BRANCH;
		break;
	case ARM64_INS_TBZ:
	case ARM64_INS_TBNZ:
		known = target_of(raw, 2, &in->target);
		in->kind = INSN_BRANCH;
		break;
	case ARM64_INS_BL:
		known = target_of(raw, 0, &in->target);
		in->kind = INSN_CALL;
		in->changes = REGS_ALL;
		break;
	case ARM64_INS_BLR:
		in->kind = INSN_CALL;
		in->changes = REGS_ALL;
		break;
	case ARM64_INS_RET:
		in->kind = INSN_RET;
		break;
	case ARM64_INS_BR:
		in->kind = INSN_ANYWHERE;
		break;
	default:
		in->changes = REGS_ALL;
		in->emulated = false;
		in->kind = raw->id == ARM64_INS_BRK ? INSN_STOP : INSN_ANYWHERE;
		return raw->id == ARM64_INS_BRK;
	}
	if (!known)
		in->kind = INSN_ANYWHERE;
	return true;
}

/* bti and nop are hints, and so are the signing of the return address and its check: those change x30. */
static regset hint(const cs_insn *raw)
{
	const cs_arm64 *a = &raw->detail->arm64;
	int64_t n = a->op_count == 1 && a->operands[0].type == ARM64_OP_IMM ? a->operands[0].imm : -1;

	return n == 0 || (n >= 32 && n < 40 && !(n & 1)) ? 0 : BIT(LINK);
}

static bool may_jump(const cs_insn *raw)
{
	for (unsigned i = 0; i < raw->detail->groups_count; i++)
		switch (raw->detail->groups[i]) {
		case ARM64_GRP_JUMP:
		case ARM64_GRP_CALL:
		case ARM64_GRP_RET:
		case ARM64_GRP_INT:
		case ARM64_GRP_BRANCH_RELATIVE:
			return true;
		}
	return false;
}

/* retaa, braa, blraa, eret and their like: 1101011x... Older disassemblers do not know all of them. */
static bool is_branch_to_register(const cs_insn *raw)
{
	return (raw->bytes[3] & 0xfe) == 0xd6;
}

void decode__arm64(const cs_insn *raw, struct insn *in)
{
	const cs_arm64 *a = &raw->detail->arm64;
	enum effect f;

	if (control_flow(raw, in) || may_jump(raw) || is_branch_to_register(raw))
		return;
	in->kind = INSN_PLAIN;
	if (raw->id == ARM64_INS_HINT) {
		in->changes = hint(raw);
		in->steppable = true;
		return;
	}
	f = computes(raw->id);
	if (f == UNKNOWN)
		f = moves(raw->id);
	if (f == UNKNOWN)
		return;
	in->changes = moved_base(a);
	if (f != NONE)
		in->changes |= operand(a, 0);
	if (f == PAIR)
		in->changes |= operand(a, 1);
	in->keeps_half = keeps_half(raw);
	in->emulated = raw->id == ARM64_INS_ADR || raw->id == ARM64_INS_ADRP;
	/* ldr with a literal reads what is beside it: not from where the kernel would step it. */
	in->steppable = !in->emulated && !(a->op_count > 1 && f == FIRST && moves(raw->id) == FIRST &&
	                                   a->operands[1].type == ARM64_OP_IMM);
}

/*
 * Instructions all have four bytes, so one that the disassembler does not know does not hide where the next begins.
 * udf, and what Go writes in its stead, end a path.
 */
bool decode__arm64_other(uint64_t at, const uint8_t *bytes, size_t len, struct insn *in)
{
	uint32_t w;

	if (len < sizeof(w))
		return false;
	memcpy(&w, bytes, sizeof(w));
	*in = (struct insn){
		.at = at, .len = sizeof(w), .kind = INSN_ANYWHERE, .changes = REGS_ALL, .text = "unknown"
	};
	if (!(w >> 16) || w == 0xbea71700)
		in->kind = INSN_STOP;
	else if ((w >> 26 & 7) != 5) /* not among the branches, exceptions and system instructions */
		in->kind = INSN_PLAIN;
	return true;
}

/* The linker's stub: adrp x16, slot; ldr x17, [x16, slot]; add x16, x16, slot; br x17. One jump through a pointer. */
bool decode__arm64_stub(uint64_t at, const uint8_t *bytes, size_t len, struct insn *in)
{
	uint32_t w[4];
	int64_t pages;

	if (len < sizeof(w))
		return false;
	memcpy(w, bytes, sizeof(w));
	if ((w[0] & 0x9f00001f) != 0x90000010 || (w[1] & 0xffc003ff) != 0xf9400211 ||
	    (w[2] & 0xffc003ff) != 0x91000210 || w[3] != 0xd61f0220)
		return false;
	pages = (int64_t)((uint64_t)((w[0] >> 5 & 0x7ffff) << 2 | (w[0] >> 29 & 3)) << 43) >> 43;
	*in = (struct insn){ .at = at, .len = sizeof(w), .kind = INSN_LEAVES, .text = "br" };
	in->target = (at & ~0xfffull) + (uint64_t)pages * 4096 + (w[1] >> 10 & 0xfff) * 8;
	return true;
}
