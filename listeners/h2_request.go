package listeners

import "golang.org/x/net/http2/hpack"

// maxH2Block bounds a header block that comes in several frames, before it is
// decoded: twice the header itself, as net/http has it.
const maxH2Block = 2 * maxHeaderBytes

// takeHeaders takes the header of a request, or trailers.
func (c *h2Conn) takeHeaders(f h2Frame) error {
	block, err := f.unpadded()
	switch {
	case f.stream == 0:
		return h2ProtocolError
	case err != nil:
		return err
	}
	selfish := false
	if f.flags&h2HasPriority != 0 {
		if len(block) < 5 {
			return h2FrameSizeError
		}
		selfish = dependsOnItself(f.stream, block)
		block = block[5:]
	}
	if f.flags&h2EndHeaders == 0 {
		c.block = &h2Block{stream: f.stream, end: f.flags&h2EndStream != 0, selfish: selfish}
		c.frameBy = c.received.Add(c.server.timeouts().Message)
		return c.addBlock(block)
	}
	return c.takeBlock(f.stream, f.flags&h2EndStream != 0, selfish, block)
}

// h2Block is a header block that a HEADERS frame began and CONTINUATION goes on
// with.
type h2Block struct {
	stream  uint32
	end     bool // with END_STREAM
	selfish bool // with a priority that is an error
	bytes   []byte
}

// takeContinuation goes on with a header block. It costs patience: empty ones
// would go on for as long as they like.
func (c *h2Conn) takeContinuation(f h2Frame) error {
	if c.block == nil {
		return h2ProtocolError
	}
	if err := c.tire(1); err != nil {
		return err
	}
	if err := c.addBlock(f.payload); err != nil || f.flags&h2EndHeaders == 0 {
		return err
	}
	b := c.block
	c.block = nil
	c.unhold(len(b.bytes))
	return c.takeBlock(b.stream, b.end, b.selfish, b.bytes)
}

func (c *h2Conn) addBlock(part []byte) error {
	if len(c.block.bytes)+len(part) > maxH2Block || !c.hold(len(part)) {
		return h2EnhanceYourCalm
	}
	c.block.bytes = append(c.block.bytes, part...)
	return nil
}

// takeBlock takes a whole header block. It is decoded whatever becomes of its
// stream: HPACK's state is that of the connection.
func (c *h2Conn) takeBlock(id uint32, end, selfish bool, block []byte) error {
	s := c.find(id)
	late := c.muted.has(id) // trailers that were on their way when we reset the stream
	if s == nil && !late && (id&1 == 0 || id <= c.lastID) {
		return h2ProtocolError // ours, passed over, or closed (RFC 9113 §5.1.1)
	}
	r, err := c.decode(block, end)
	switch {
	case err != nil:
		return err
	case s != nil:
		return c.takeTrailer(s, end, r)
	case late:
		return c.tire(1)
	}
	if c.ending {
		return nil // the client repeats it on another connection
	}
	c.lastID = id
	if err := c.tire(1); err != nil {
		return err
	}
	switch {
	case selfish, r.kind == webMalformed, r.kind == webTrailer:
		c.resetID(id, h2ProtocolError)
		return c.charge()
	case len(c.streams) >= c.server.streams, c.held > h2HeldBytes/2:
		c.resetID(id, h2RefusedStream)
		return nil
	}
	return c.request(id, end, r)
}

// takeTrailer ends a body by fields, which mean nothing here.
func (c *h2Conn) takeTrailer(s *h2Stream, end bool, r webRequest) error {
	switch {
	case s.ended:
		return h2StreamClosed
	case s.waits():
		s.ended = end
		return nil
	case !end, r.kind != webTrailer && r.kind != webTooLong:
		return c.fault(s, h2ProtocolError)
	}
	return c.takeBody(s, nil, 0, true)
}

// request does what a request asks for, now or when its body is there. Also one
// whose body means nothing waits for it, up to a point: an answer that comes
// first would have to be followed by a reset.
func (c *h2Conn) request(id uint32, end bool, r webRequest) error {
	s := c.newStream(id, end)
	s.head, s.length = r.head, r.length
	switch {
	case r.kind == webTooLong:
		return c.refuse(s, errHeader)
	case end && r.length > 0:
		return c.fault(s, h2ProtocolError) // RFC 9113 §8.1.1
	case end && r.kind == webPost:
		return c.answer(s, nil)
	case end && r.kind == webGet:
		message, failure := getMessage(r.rawQuery, &c.work.exchange)
		if failure != nil {
			return c.refuse(s, failure)
		}
		return c.answer(s, message)
	case r.kind == webPost && r.length > maxMessageBytes:
		return c.refuse(s, errTooLarge)
	case r.kind != webPost:
		var err error
		if s.request, err = c.work.list.httpRequest(2, c.client.String()); err != nil {
			return c.fault(s, h2ProtocolError)
		}
		if end || !c.hold(c.work.list.size) {
			return c.serveHTTP(s)
		}
		s.held = c.work.list.size
	}
	if r.expects {
		c.work.out = append(appendH2Header(c.work.out, len(h2Continue), h2Headers, h2EndHeaders, id), h2Continue...)
	}
	c.keep(s, c.server.timeouts().Message)
	return nil
}

// h2Seen is the latest header block and what it means, as long as it would mean
// the same again: it refers to HPACK's table and does not change it. Clients
// send the same block for every POST, and decoding it takes 0.4 µs.
type h2Seen struct {
	block   []byte
	request webRequest
}

// maxSeen is the longest block that is remembered: those of clients that use
// HPACK's table have 10 to 60 bytes.
const maxSeen = 128

// decode is what a header block says. A request that is neither for webPost nor
// at its end has its fields in c.work.list. An error ends the connection.
func (c *h2Conn) decode(block []byte, end bool) (webRequest, error) {
	seen := &c.fields
	if len(seen.block) > 0 && string(seen.block) == string(block) && (end || seen.request.kind == webPost) {
		return seen.request, nil
	}
	if c.decoder == nil {
		c.decoder = hpack.NewDecoder(h2DefaultTable, nil)
		c.decoder.SetMaxStringLength(maxH2Block)
	}
	list := &c.work.list
	list.reset()
	list.decoder = c.decoder
	c.decoder.SetEmitEnabled(true)
	c.decoder.SetEmitFunc(list.add)
	_, err := c.decoder.Write(block)
	c.decoder.SetEmitFunc(ignoreField)
	switch {
	case err == hpack.ErrStringLength:
		return webRequest{}, h2EnhanceYourCalm
	case err != nil, c.decoder.Close() != nil:
		return webRequest{}, h2CompressionError
	}
	r := list.request()
	if changesTable(block) {
		seen.block = seen.block[:0]
	} else if len(block) <= maxSeen && (r.kind == webPost || r.kind == webGet) {
		seen.block, seen.request = append(seen.block[:0], block...), r
	}
	return r, nil
}

func ignoreField(hpack.HeaderField) {}

// changesTable tells whether a valid header block adds to HPACK's table or
// resizes it (RFC 7541 §6.2.1, §6.3).
func changesTable(block []byte) bool {
	for len(block) > 0 {
		first := block[0]
		switch {
		case first&0x80 != 0: // indexed
			_, block = hpackInt(block, 7)
		case first&0x60 != 0: // with incremental indexing, or a size
			return true
		default: // literal
			var name int
			if name, block = hpackInt(block, 4); name == 0 {
				block = skipString(block)
			}
			block = skipString(block)
		}
	}
	return false
}

// hpackInt reads an integer (RFC 7541 §5.1) from a block that has been decoded.
func hpackInt(p []byte, prefix uint) (n int, rest []byte) {
	if len(p) == 0 {
		return 0, nil
	}
	most := 1<<prefix - 1
	n, p = int(p[0])&most, p[1:]
	if n < most {
		return n, p
	}
	for shift := uint(0); len(p) > 0 && shift < 31; shift += 7 {
		b := p[0]
		n, p = n+int(b&0x7f)<<shift, p[1:]
		if b&0x80 == 0 {
			break
		}
	}
	return n, p
}

func skipString(p []byte) []byte {
	n, rest := hpackInt(p, 7)
	return rest[min(max(n, 0), len(rest)):]
}
