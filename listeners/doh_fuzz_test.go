package listeners

import (
	"bytes"
	"encoding/base64"
	"testing"
	"testing/iotest"
)

// FuzzDoHGet: what is taken for a message is written in its one base64url
// spelling; everything else is refused with a reason.
func FuzzDoHGet(f *testing.F) {
	for _, seed := range []string{
		"dns=AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB", // RFC 8484 §4.1.1
		"", "dns", "dns=", "dns=A", "dns=AA", "dns=AB", "dns=AA==", "dns=%41%41", "dns=AA%", "dns=AA+/", "dns=AAAA%0A",
		"name=x&dns=AAAA", "dns=AAAA&dns=BBBB", "DNS=AAAA", "dns=AAAA;x=1", "&&dns=AAAA", "d%6es=AAAA",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, rawQuery string) {
		x := &exchange{}
		message, failure := getMessage(rawQuery, x)
		if failure != nil {
			if message != nil || failure.status != 400 && failure.status != 413 || failure.reason == "" {
				t.Fatalf("got %x and %+v", message, failure)
			}
			return
		}
		text, _ := parameter(rawQuery, "dns")
		if got := base64.RawURLEncoding.EncodeToString(message); got != text {
			t.Fatalf("%q is another spelling of %q", text, got)
		}
	})
}

// FuzzDoQMessage compares the reader with the plain reading of RFC 9250 §4.2,
// on a stream in any pieces.
func FuzzDoQMessage(f *testing.F) {
	good := framed(testMessage(0, 40))
	f.Add(good, false)
	f.Add(good, true)
	f.Add(append(bytes.Clone(good), 0), true)
	f.Add(append(bytes.Clone(good), good...), false)
	f.Add(good[:20], false)
	f.Add(framed(testMessage(5, 12)), false)
	f.Add([]byte{0, 0}, false)
	f.Add([]byte{0xff, 0xff, 0}, false)
	f.Add([]byte{}, false)
	f.Fuzz(func(t *testing.T, stream []byte, byByte bool) {
		x := borrowExchange()
		defer x.release()
		var r = iotest.DataErrReader(bytes.NewReader(stream)) // quic-go has the FIN together with the last bytes
		if byByte {
			r = iotest.OneByteReader(bytes.NewReader(stream))
		}
		message, err := readDoQ(r, x, nil)
		messages, short := splitAll(stream)
		valid := !short && len(messages) == 1 && len(messages[0])+lengthBytes == len(stream) && messages[0][0] == 0 && messages[0][1] == 0
		if (err == nil) != valid {
			t.Fatalf("%d bytes: %v, want valid %v", len(stream), err, valid)
		}
		if valid && !bytes.Equal(message, messages[0]) {
			t.Fatalf("got %x, want %x", message, messages[0])
		}
		if _, violation := err.(doqViolation); err != nil && !violation {
			t.Fatalf("got %v, want a violation", err)
		}
	})
}
