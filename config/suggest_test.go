package config

import "testing"

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"listen", "listen", 0}, {"", "udp", 3}, {"upd", "udp", 1}, {"lisen", "listen", 1},
		{"listten", "listen", 1}, {"lasten", "listen", 1}, {"parking", "policy", 5}, {"kitten", "sitting", 3},
	} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
		if got := distance(c.b, c.a); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.b, c.a, got, c.want)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	words := []string{"nameservers", "publicsuffixes", "ttl", "udp", "tcp", "profile"}
	for found, want := range map[string]string{
		"NameServers":     "nameservers",
		"name_servers":    "nameservers",
		"nameserver":      "nameservers",
		"public-suffixes": "publicsuffixes",
		"public_sufixes":  "publicsuffixes",
		"tl":              "ttl",
		"profil":          "profile",
		"frobnicate":      "",
		"x":               "",
		"":                "",
	} {
		got := didYouMean(found, words)
		if want != "" {
			want = "did you mean \"" + want + "\"?"
		}
		if got != want {
			t.Errorf("%q: got %s, want %s", found, got, want)
		}
	}
}
