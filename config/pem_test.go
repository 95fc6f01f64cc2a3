package config

import (
	"strings"
	"testing"
)

// A key given where other text is wanted must not get into a log.
func TestPrivateKeysAreNotQuoted(t *testing.T) {
	const secret = "MC4CAQAwBQYDK2VwBCIEIA"
	key := write(t, "a.key", "-----BEGIN PRIVATE KEY-----\n"+secret+"\n-----END PRIVATE KEY-----\n")
	for name, file := range map[string]string{
		"settings":           key,
		"list":               write(t, "list.yaml", twoServers+"parking: {only: ['@"+key+"']}\n"),
		"key among settings": write(t, "inline.yaml", twoServers+"tls: |\n  -----BEGIN PRIVATE KEY-----\n  "+secret+"\n"),
	} {
		_, err := Load(file, Flags{})
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		if text := err.Error(); !strings.Contains(text, "a PEM file") || strings.Contains(text, secret[:4]) || strings.Contains(text, "\n") {
			t.Errorf("%s: %s", name, text)
		}
	}
}
