package resolver

import (
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
)

const (
	// maxGenerated is how many records one $GENERATE directive may make: those of
	// a reverse zone for a /16.
	maxGenerated = 1 << 16

	// maxGeneratedInZone is how many all of a zone's may make together: a line of
	// thirty bytes makes megabytes.
	maxGeneratedInZone = 1 << 20
)

// generate makes the records of a $GENERATE directive, as BIND has it:
//
//	$GENERATE start-stop[/step] owner [TTL] [class] type data
//
// In owner and all that follows $ stands for the number, ${offset,width,base} for
// the number plus offset, in base d, o, x, X, n or N, and \$ for a dollar.
func (r *zoneReader) generate(f *zoneFile, e *entry) {
	wrong := func(format string, args ...any) { r.fail(f.number, e.line, e.column, format, args...) }
	numbers, template := cutField(e.rest)
	owner, rest := cutField(template)
	if rest == "" {
		wrong("$GENERATE%s: expected start-stop[/step], an owner, a type and its data", e.rest)
		return
	}
	start, stop, step, err := generated(numbers)
	if err != nil {
		wrong("$GENERATE %s: %s", numbers, err)
		return
	}
	count := (stop-start)/step + 1
	if count > maxGenerated {
		wrong("$GENERATE %s: %d records, more than the %d that one directive may make", numbers, count, maxGenerated)
		return
	}
	if r.made += count; r.made > maxGeneratedInZone {
		wrong("$GENERATE %s: more than %d records with those of the directives before", numbers, maxGeneratedInZone)
		return
	}
	for i := range count {
		if i%giveWayEvery == giveWayEvery-1 {
			runtime.Gosched()
		}
		n := start + i*step
		one := entry{line: e.line, column: e.column, raw: e.raw}
		one.owner, err = fillIn(owner, n)
		if err == nil {
			one.rest, err = fillIn(" "+rest, n)
		}
		if err != nil {
			wrong("$GENERATE %s: %s", numbers, err)
			return
		}
		mistakes := len(r.errs)
		if r.record(f, &one); len(r.errs) > mistakes {
			return // the others have the same
		}
	}
}

// cutField divides text behind its first field.
func cutField(text string) (field, rest string) {
	text = strings.Trim(text, " \t")
	end := strings.IndexAny(text, " \t")
	if end < 0 {
		return text, ""
	}
	return text[:end], strings.TrimLeft(text[end:], " \t")
}

// generated reads start-stop[/step].
func generated(text string) (start, stop, step int, err error) {
	numbers, stepText, stepped := strings.Cut(text, "/")
	first, last, found := strings.Cut(numbers, "-")
	wrong := errors.New("expected start-stop or start-stop/step, as 1-254 or 0-100/2, of numbers up to 2147483647")
	values := []int{0, 0, 1}
	texts := []string{first, last}
	if stepped {
		texts = append(texts, stepText)
	}
	for i, t := range texts {
		n, err := strconv.ParseUint(t, 10, 31)
		if err != nil {
			return 0, 0, 0, wrong
		}
		values[i] = int(n)
	}
	if !found || values[2] == 0 || values[1] < values[0] {
		return 0, 0, 0, wrong
	}
	return values[0], values[1], values[2], nil
}

// fillIn replaces what stands for the number n in text.
func fillIn(text string, n int) (string, error) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text):
			if i++; text[i] != '$' {
				b.WriteByte('\\')
			}
			b.WriteByte(text[i])
		case c != '$':
			b.WriteByte(c)
		case strings.HasPrefix(text[i+1:], "$"):
			b.WriteByte(c)
			i++
		case strings.HasPrefix(text[i+1:], "{"):
			inside, _, closed := strings.Cut(text[i+2:], "}")
			number, err := formatted(inside, n)
			if err != nil || !closed {
				found := text[i : i+2+len(inside)]
				if closed {
					found += "}"
				}
				return "", fmt.Errorf("found %q, expected ${offset,width,base}, with base one of d o x X n N, width at most %d and no number below 0", found, maxGeneratedWidth)
			}
			b.WriteString(number)
			i += len(inside) + 2
		default:
			b.WriteString(strconv.Itoa(n))
		}
	}
	return b.String(), nil
}

// maxGeneratedWidth is how wide a number may be: as the nibbles of an IPv6 address
// with the dots between them.
const maxGeneratedWidth = 63

var errFormat = errors.New("no such format")

// formatted is n as "offset,width,base" says; width and base may be left out.
func formatted(format string, n int) (string, error) {
	fields := strings.Split(format, ",")
	offset, err := strconv.ParseInt(strings.TrimSpace(fields[0]), 10, 32)
	width, base := 0, "d"
	if err == nil && len(fields) > 1 {
		width, err = strconv.Atoi(strings.TrimSpace(fields[1]))
	}
	if len(fields) > 2 {
		base = strings.TrimSpace(fields[2])
	}
	value := int64(n) + offset
	if err != nil || len(fields) > 3 || width < 0 || width > maxGeneratedWidth || value < 0 {
		return "", errFormat
	}
	switch base {
	case "d", "o", "x", "X":
		return fmt.Sprintf("%0*"+base, width, value), nil
	case "n":
		return nibbles("%x", value, width), nil
	case "N":
		return nibbles("%X", value, width), nil
	}
	return "", errFormat
}

// nibbles is value as the labels of a name below ip6.arpa (RFC 3596 §2.5): its
// hexadecimal digits from the last to the first. width counts the dots.
func nibbles(verb string, value int64, width int) string {
	var b strings.Builder
	for {
		fmt.Fprintf(&b, verb, value&15)
		value >>= 4
		if value == 0 && b.Len() >= width {
			return b.String()
		}
		b.WriteByte('.')
		if b.Len() >= width && value == 0 {
			return b.String()
		}
	}
}
