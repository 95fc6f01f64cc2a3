package config

import (
	"fmt"
	"net/url"
	"strings"

	"golang.org/x/net/idna"
)

// Limits of domain names in their text form.
// https://www.rfc-editor.org/rfc/rfc1035#section-2.3.4
const (
	maxLabelBytes = 63
	maxNameBytes  = 253 // 255 in wire format: a length byte in front and the root's behind
)

func domain() kind[string]  { return scalar("a domain name", parseDomain) }
func host() kind[string]    { return scalar("a host name", parseHost) }
func mailbox() kind[string] { return scalar("a mailbox like name@example.com", parseMailbox) }
func iodef() kind[string] {
	return scalar("a mailbox like name@example.com or an http(s) URL", parseIODEF)
}
func httpsURL() kind[string] { return scalar("an https URL", parseHTTPS) }

func domains(most int) kind[[]string] { return list(domain(), 0, most, identity) }
func hosts() kind[[]string]           { return list(host(), 0, 100, identity) }
func mailboxes() kind[[]string]       { return list(mailbox(), 0, 50, identity) }
func iodefs() kind[[]string]          { return list(iodef(), 0, 50, identity) }

// parseDomain returns the name in ASCII and lower case, without the final dot.
// It allocates only for names that are not written so: a list may have millions.
func parseDomain(text string) (string, error) {
	name := strings.TrimSuffix(text, ".")
	plain := true
	for i := range len(name) {
		c := name[i]
		if c >= 0x80 {
			return parseIDN(name)
		}
		plain = plain && (c < 'A' || c > 'Z')
	}
	if !plain {
		name = strings.ToLower(name)
	}
	return name, checkDomain(name)
}

// lookup maps and checks internationalized names as browsers do (UTS #46),
// so that one typed with capitals or a wide dot is the one its owner means.
var lookupIDN = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.Transitional(false), idna.StrictDomainName(false))

func parseIDN(name string) (string, error) {
	ascii, err := lookupIDN.ToASCII(name)
	if err != nil {
		return "", mistake("it can't be written as an internationalized name (RFC 5891)")
	}
	ascii = strings.TrimSuffix(ascii, ".")
	return ascii, checkDomain(ascii)
}

// checkDomain tells what is wrong with a name in ASCII and lower case.
func checkDomain(name string) error {
	if name == "" {
		return mistake("it is empty")
	}
	if len(name) > maxNameBytes {
		return mistake(fmt.Sprintf("it is longer than %d characters", maxNameBytes))
	}
	label, digits := 0, true // the length of the current label; whether it is a number
	for i := range len(name) {
		c := name[i]
		switch {
		case c == '.':
			if label == 0 {
				return mistake("it has an empty label: two dots in a row, or one at the start")
			}
			label, digits = 0, true
			continue
		case c >= '0' && c <= '9':
		case c >= 'a' && c <= 'z', c == '-', c == '_':
			digits = false
		case c == '*':
			return mistake("what lies below a domain belongs to it: leave the * out")
		default:
			return mistake("it has the character " + quote(string(rune(c))))
		}
		if label++; label > maxLabelBytes {
			return mistake(fmt.Sprintf("it has a label longer than %d characters", maxLabelBytes))
		}
	}
	if label == 0 {
		return mistake("it has an empty label: two dots in a row")
	}
	if digits {
		return mistake("a number is no top-level domain: is this an address?")
	}
	return nil
}

// parseHost is parseDomain for a name that a machine may have.
// https://www.rfc-editor.org/rfc/rfc1123#section-2.1
func parseHost(text string) (string, error) {
	name, err := parseDomain(text)
	if err != nil {
		return "", err
	}
	if !strings.Contains(name, ".") {
		return "", mistake("write it in full, with its domain: " + name + ".example.net")
	}
	if strings.Contains(name, "_") {
		return "", mistake("a host name has no underscore (RFC 1123)")
	}
	for label := range strings.SplitSeq(name, ".") {
		if label[0] == '-' || label[len(label)-1] == '-' {
			return "", mistake("a label of a host name neither begins nor ends with a hyphen (RFC 1123)")
		}
	}
	return name, nil
}

// parseMailbox takes what RFC 5321 §4.1.2 calls a dot-string before the @: a
// local part in quotes has no place in a mailto URI of DMARC or an SOA record.
func parseMailbox(text string) (string, error) {
	if rest, ok := strings.CutPrefix(text, "mailto:"); ok {
		return "", mistake("leave mailto: out: " + rest)
	}
	at := strings.LastIndexByte(text, '@')
	if at < 0 {
		return "", mistake("it has no @")
	}
	local := text[:at]
	const special = "!#$%&'*+-/=?^_`{|}~."
	for _, r := range local {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(special, r)) {
			return "", mistake("it has the character " + quote(string(r)) + " before the @")
		}
	}
	const maxLocalBytes = 64 // https://www.rfc-editor.org/rfc/rfc5321#section-4.5.3.1.1
	switch {
	case local == "":
		return "", mistake("it has nothing before the @")
	case len(local) > maxLocalBytes:
		return "", mistake(fmt.Sprintf("it has more than %d characters before the @", maxLocalBytes))
	case local[0] == '.' || local[len(local)-1] == '.' || strings.Contains(local, ".."):
		return "", mistake("it has a dot that stands beside no letter before the @")
	}
	domain, err := parseHost(text[at+1:])
	if err != nil {
		return "", mistake("behind the @: " + err.Error())
	}
	return local + "@" + domain, nil
}

func parseIODEF(text string) (string, error) {
	if u, err := url.Parse(text); err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" {
		return text, nil
	}
	if strings.Contains(text, "://") {
		return "", mistake("a URL begins with http:// or https:// and a host")
	}
	return parseMailbox(text)
}

func parseHTTPS(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return "", mistake("")
	}
	return text, nil
}
