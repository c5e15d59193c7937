package configs

import (
	"fmt"
	"net/netip"
)

// networks reads addresses and CIDR prefixes. Words such as "private" are not
// taken: whom one believes should be written out.
func (d *decoder) networks(n *node, to *[]netip.Prefix) {
	d.list(n, networksMax, func(n *node) {
		s, ok := d.text(n)
		if !ok {
			return
		}
		prefix, err := parseNetwork(s)
		if err != nil {
			d.wrong(n, "%v", err)
			return
		}
		if masked := prefix.Masked(); masked != prefix {
			d.warn(n.Pos, "%s: %s has bits behind the prefix; it stands for %v", n.path(), quote(s), masked)
		}
		if prefix.Bits() == 0 {
			d.warn(n.Pos, "%s: %s believes every client what it says about its own address", n.path(), quote(s))
		}
		*to = append(*to, prefix.Masked())
	})
}

// parseNetwork returns the prefix as written, IPv4 in IPv6 as IPv4. A single
// address is a prefix of all its bits.
func parseNetwork(s string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		addr, addrErr := netip.ParseAddr(s)
		if addrErr != nil || addr.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("must be an IP address or a network in CIDR form such as "+
				"10.0.0.0/8 or fd00::/8, but this is %s", quote(s))
		}
		prefix = netip.PrefixFrom(addr, addr.BitLen())
	}
	if prefix.Addr().Is4In6() && prefix.Bits() >= 96 {
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	return prefix, nil
}
