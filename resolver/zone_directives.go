package resolver

import (
	"strings"

	"github.com/miekg/dns"
)

func (r *zoneReader) directive(f *zoneFile, e *entry) {
	fields := strings.Fields(e.rest)
	wrong := func(format string, args ...any) { r.fail(f.number, e.line, e.column, format, args...) }
	switch strings.ToUpper(e.owner) {
	case "$TTL":
		// The parser of records knows how people write a TTL: 1h30m.
		rr, err := dns.NewRR(". " + strings.Join(fields, " ") + " A 192.0.2.1")
		if len(fields) != 1 || err != nil || rr == nil || rr.Header().Ttl > maxTTL {
			wrong("$TTL%s: expected a time from 0 to 2147483647 seconds, as 3600 or 1h (RFC 2308 §4)", e.rest)
			return
		}
		f.ttl, f.fixed = rr.Header().Ttl, true
	case "$ORIGIN":
		if len(fields) != 1 {
			wrong("$ORIGIN%s: expected one name", e.rest)
			return
		}
		if origin, ok := r.absolute(f, e, fields[0]); ok {
			f.origin = origin
		}
	case "$INCLUDE":
		r.included(f, e, fields)
	case "$GENERATE":
		r.generate(f, e)
	default:
		wrong("%s is not known; $ORIGIN, $TTL, $INCLUDE and $GENERATE are (RFC 1035 §5.1, RFC 2308 §4)", e.owner)
	}
}

// absolute makes a name of a directive absolute.
func (r *zoneReader) absolute(f *zoneFile, e *entry, text string) (string, bool) {
	switch {
	case text == "@":
		return f.origin, true
	case !dns.IsFqdn(text):
		text += "." + strings.TrimPrefix(f.origin, ".")
	}
	if _, err := wireName(text); err != nil {
		r.fail(f.number, e.line, e.column, "%s: %s", e.owner, err)
		return "", false
	}
	return text, true
}

// included reads the file of an $INCLUDE directive. What it says of origin,
// owner and TTL ends with it.
func (r *zoneReader) included(f *zoneFile, e *entry, fields []string) {
	wrong := func(format string, args ...any) { r.fail(f.number, e.line, e.column, format, args...) }
	if len(fields) < 1 || len(fields) > 2 {
		wrong("$INCLUDE%s: expected a file and, if it is another one, its origin", e.rest)
		return
	}
	inner := *f
	inner.depth++
	if len(fields) == 2 {
		var ok bool
		if inner.origin, ok = r.absolute(f, e, fields[1]); !ok {
			return
		}
	}
	file := strings.Trim(fields[0], `"`)
	switch {
	case r.include == nil:
		wrong("$INCLUDE is not possible here")
		return
	case inner.depth > maxIncludes:
		wrong("$INCLUDE %s: more than %d files deep; does a file include itself?", file, maxIncludes)
		return
	}
	if r.full {
		return
	}
	if len(r.files) > maxIncluded {
		r.full = true
		wrong("$INCLUDE %s: more than %d files for one zone; does a file include itself?", file, maxIncluded)
		return
	}
	source, err := r.include(file)
	if err != nil {
		wrong("$INCLUDE %s: %s", file, err)
		return
	}
	r.read(source, inner)
}
