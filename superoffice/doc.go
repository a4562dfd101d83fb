// Package superoffice knows the vendor's wire: how an ErpSync call is spelled,
// what its body asks for, what an answer says, where a tenant lives and whom a
// credential belongs to. It decides nothing and holds no secret; it knows
// neither Caddy nor the gateway.
//
// Facts come from SuperOffice's published WebAPI documentation and from its own
// TypeScript client (@superoffice/webapi). What the sources leave open is said
// at the place that has to live with it.
package superoffice
