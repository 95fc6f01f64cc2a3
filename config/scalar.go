package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// kind is a kind of value: how it is read, and what to call it.
type kind[T any] struct {
	expected string // completes "expected …"

	// read returns the value, or reports what is wrong with it and returns false.
	read func(v value) (T, bool)

	object bool // it is a mapping
}

// mistake is why a text is not of its kind, in words that tell an operator
// what to do. It may be empty, when "expected …" says it all.
type mistake string

func (m mistake) Error() string { return string(m) }

// scalar is the kind of the single values that parse takes.
func scalar[T any](expected string, parse func(text string) (T, error)) kind[T] {
	return kind[T]{expected: expected, read: func(v value) (x T, ok bool) {
		text, ok := v.scalar(expected)
		if !ok {
			return x, false
		}
		x, err := parse(text)
		if err != nil {
			v.wrong(expected, err.Error())
		}
		return x, err == nil
	}}
}

// plain is a scalar that must not stand in quotes, such as a number.
func plain[T any](expected string, parse func(text string) (T, error)) kind[T] {
	k := scalar(expected, parse)
	read := k.read
	k.read = func(v value) (x T, ok bool) {
		if v.quoted() {
			v.wrong(expected, "take the quotes off")
			return x, false
		}
		return read(v)
	}
	return k
}

// orEmpty is k or "", which is the zero T.
func orEmpty[T any](k kind[T]) kind[T] {
	expected := k.expected + `, or ""`
	read := k.read
	return kind[T]{expected: expected, read: func(v value) (T, bool) {
		if v.quoted() && v.node.Value == "" {
			var zero T
			return zero, true
		}
		return read(v)
	}}
}

func text(least, most int) kind[string] {
	expected := fmt.Sprintf("a text of at most %d bytes", most)
	return scalar(expected, func(text string) (string, error) {
		if len(text) < least || len(text) > most {
			return "", mistake(fmt.Sprintf("it has %d", len(text)))
		}
		return text, nil
	})
}

func integer(least, most int) kind[int] {
	expected := fmt.Sprintf("a whole number from %d to %d", least, most)
	return plain(expected, func(text string) (int, error) {
		// YAML would take 010 for 8 and 1_0 for 10; an operator may not.
		n, err := strconv.Atoi(text)
		if err != nil || n < least || n > most || strconv.Itoa(n) != text {
			return 0, mistake("")
		}
		return n, nil
	})
}

func decimal(least, most float64) kind[float64] {
	expected := fmt.Sprintf("a number from %g to %g", least, most)
	return plain(expected, func(text string) (float64, error) {
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || !(n >= least && n <= most) || strings.Trim(text, "0123456789.") != "" {
			return 0, mistake("")
		}
		return n, nil
	})
}

func boolean() kind[bool] {
	return plain("true or false", func(text string) (bool, error) {
		if text != "true" && text != "false" {
			return false, mistake("")
		}
		return text == "true", nil
	})
}

func choice(words ...string) kind[string] {
	expected := strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
	return scalar(expected, func(text string) (string, error) {
		if !slices.Contains(words, text) {
			return "", mistake(didYouMean(text, words))
		}
		return text, nil
	})
}

func duration(least, most time.Duration) kind[time.Duration] {
	expected := fmt.Sprintf("a time from %s to %s", brief(least), brief(most))
	return scalar(expected, func(text string) (time.Duration, error) {
		d, err := parseDuration(text)
		if err == nil && (d < least || d > most) {
			err = mistake("")
		}
		return d, err
	})
}

func wholeSeconds(least, most time.Duration) kind[time.Duration] {
	k := duration(least, most)
	read := k.read
	k.expected += ", in whole seconds"
	k.read = func(v value) (time.Duration, bool) {
		d, ok := read(v)
		if ok && d%time.Second != 0 {
			v.wrong(k.expected, "")
			ok = false
		}
		return d, ok
	}
	return k
}

// longUnits are the units that time.ParseDuration does not have.
var longUnits = map[byte]time.Duration{'w': 7 * day, 'd': day}

// parseDuration reads what time.ParseDuration does, with weeks and days in front.
func parseDuration(text string) (time.Duration, error) {
	const written = mistake("it is written like 30s, 1h30m or 2d")
	if _, err := strconv.Atoi(text); err == nil && text != "0" {
		return 0, mistake("give a unit, as in " + text + "s")
	}
	var sum time.Duration
	rest := text
	for {
		i := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
		if i <= 0 || longUnits[rest[i]] == 0 {
			break
		}
		n, err := strconv.Atoi(rest[:i])
		if err != nil || n > 10000 {
			return 0, mistake("")
		}
		sum += time.Duration(n) * longUnits[rest[i]]
		rest = rest[i+1:]
	}
	if rest == "" && text != "" {
		return sum, nil
	}
	d, err := time.ParseDuration(rest)
	if err != nil {
		return 0, written
	}
	return sum + d, nil
}

// brief is d without the zero units of its String.
func brief(d time.Duration) string {
	if d >= day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
