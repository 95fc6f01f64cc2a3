package audit

import (
	"strings"
	"testing"
)

func TestTableInColour(t *testing.T) {
	r := &Report{Domain: "example.com"}
	r.add(Row{"SPF", "example.com", Fail, "no SPF record", "publish one"})
	r.add(Row{"null MX", "*.example.com", Warn, "no MX", "publish one"})
	r.add(Row{"names", "example.com", Pass, "fine", "not needed"})
	plain := `example.com: fail (1 fail, 1 warn, 1 pass)
  fail  SPF      example.com    no SPF record
                 -> publish one
  warn  null MX  *.example.com  no MX
                 -> publish one
  pass  names    example.com    fine
`
	var b strings.Builder
	for _, style := range []Style{{}, {Colour: true}, {Brief: true}} {
		b.Reset()
		if err := r.Write(&b, style); err != nil {
			t.Fatal(err)
		}
		got, want := b.String(), plain
		if style.Colour {
			if !strings.Contains(got, "\x1b[1;31mfail\x1b[0m") || !strings.Contains(got, "\x1b[32mpass\x1b[0m") {
				t.Errorf("no colours in %q", got)
			}
			for _, colour := range []string{"\x1b[1;31m", "\x1b[33m", "\x1b[32m", "\x1b[0m"} {
				got = strings.ReplaceAll(got, colour, "")
			}
		}
		if style.Brief {
			want = strings.Join(strings.SplitAfter(plain, "\n")[:5], "")
		}
		if got != want {
			t.Errorf("%+v: got\n%s\nwant\n%s", style, got, want)
		}
	}
	b.Reset()
	good := &Report{Domain: "example.org", Verdict: Pass}
	if good.Write(&b, Style{Brief: true}); b.Len() != 0 {
		t.Errorf("brief: %s", b.String())
	}
}

func TestVerdictsAreWords(t *testing.T) {
	for v, want := range map[Verdict]string{Info: "info", Pass: "pass", Warn: "warn", Fail: "fail", Fail + 1: "unknown"} {
		if got := v.String(); got != want {
			t.Errorf("%d: %s", v, got)
		}
	}
}
