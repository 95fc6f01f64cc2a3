package policy

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
)

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func TestTheLongestPrefixDecides(t *testing.T) {
	for _, tc := range []struct {
		name               string
		allow, deny, trust []netip.Prefix
		addr               string
		want               standing
	}{
		{"no lists", nil, nil, nil, "192.0.2.1", standing{}},
		{"denied", nil, prefixes("192.0.2.0/24"), nil, "192.0.2.1", standing{denied: true}},
		{"not in deny", nil, prefixes("192.0.2.0/24"), nil, "192.0.3.1", standing{}},
		{"not in allow", prefixes("192.0.2.0/24"), nil, nil, "192.0.3.1", standing{denied: true}},
		{"allowed inside denied", prefixes("192.0.2.0/25"), prefixes("192.0.2.0/24"), nil, "192.0.2.1", standing{}},
		{"denied inside allowed", prefixes("192.0.2.0/24"), prefixes("192.0.2.0/25"), nil, "192.0.2.1", standing{denied: true}},
		{"in both, deny wins", prefixes("192.0.2.0/24"), prefixes("192.0.2.0/24"), nil, "192.0.2.1", standing{denied: true}},
		{"trust does not allow", prefixes("192.0.2.0/24"), nil, prefixes("198.51.100.0/24"), "198.51.100.1", standing{denied: true, trusted: true}},
		{"trust around a shorter allow", prefixes("192.0.2.0/24"), nil, prefixes("192.0.2.1/32"), "192.0.2.1", standing{trusted: true}},
		{"trusted network, longer allow", prefixes("192.0.2.1/32"), nil, prefixes("192.0.0.0/16"), "192.0.2.1", standing{trusted: true}},
		{"everybody by name", prefixes("0.0.0.0/0"), nil, nil, "192.0.2.1", standing{}},
		{"the other family", prefixes("0.0.0.0/0"), nil, nil, "2001:db8::1", standing{denied: true}},
		{"bits after the prefix", nil, prefixes("192.0.2.99/24"), nil, "192.0.2.1", standing{denied: true}},
		{"mapped prefix", nil, prefixes("::ffff:192.0.2.0/120"), nil, "192.0.2.1", standing{denied: true}},
		{"IPv6", nil, prefixes("2001:db8::/32"), prefixes("2001:db8:1::/48"), "2001:db8:1::1", standing{denied: true, trusted: true}},
	} {
		a := newAccess(tc.allow, tc.deny, tc.trust)
		if got := a.of(netip.MustParseAddr(tc.addr)); got != tc.want {
			t.Errorf("%s: %s is %+v, want %+v", tc.name, tc.addr, got, tc.want)
		}
	}
}

// TestAccessAgreesWithTheRule compares one lookup with the rule as it is
// written down, on thousands of random prefixes that overlap a lot.
func TestAccessAgreesWithTheRule(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	random := func() netip.Addr {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], 0x0a000000|r.Uint32()&0xfff)
		return netip.AddrFrom4(b)
	}
	list := func(n int) (out []netip.Prefix) {
		for range n {
			out = append(out, netip.PrefixFrom(random(), 20+r.IntN(13)).Masked())
		}
		return out
	}
	longest := func(list []netip.Prefix, addr netip.Addr) int {
		n := -1
		for _, p := range list {
			if p.Contains(addr) {
				n = max(n, p.Bits())
			}
		}
		return n
	}
	for range max(20/slower, 2) {
		allow, deny, trust := list(r.IntN(50)), list(1000), list(1000)
		a := newAccess(allow, deny, trust)
		for range 500 {
			addr := random()
			in, out := longest(allow, addr), longest(deny, addr)
			want := standing{
				denied:  out >= 0 && out >= in || in < 0 && out < 0 && len(allow) > 0,
				trusted: longest(trust, addr) >= 0,
			}
			if got := a.of(addr); got != want {
				t.Fatalf("%s: got %+v, want %+v", addr, got, want)
			}
		}
	}
}
