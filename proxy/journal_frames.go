package proxy

import "log/slog"

// A flowLine is what the line about a tunnel's end says of one direction.
type flowLine struct {
	bytes    uint64
	spliced  bool
	messages uint64
	code     uint16 // of the Close frame
	frames   frameReport
}

// A frameReport says how far frames were followed.
type frameReport uint8

const (
	framesOff       frameReport = iota // not at all
	framesFollowed                     // to the end
	framesBlind                        // until the direction was spliced for good
	framesViolating                    // until they broke RFC 6455
)

func (r frameReport) String() string {
	return [...]string{"off", "followed", "blind", "violation"}[r]
}

func (f *flow) line() flowLine {
	code, _ := f.frames.CloseCode()
	l := flowLine{bytes: f.bytes, spliced: f.spliced, messages: f.frames.Messages(), code: code}
	switch {
	case f.violated:
		l.frames = framesViolating
	case f.blind:
		l.frames = framesBlind
	case !f.frames.Opaque():
		l.frames = framesFollowed
	}
	return l
}

// writeFrames adds what is known from the frames of the tunnel.
func (l *line) writeFrames(record *slog.Record) {
	record.AddAttrs(slog.String("frames", max(l.up.frames, l.down.frames).String()))
	if l.up.frames == framesOff && l.down.frames == framesOff {
		return
	}
	record.AddAttrs(slog.Uint64("up_messages", l.up.messages), slog.Uint64("down_messages", l.down.messages),
		slog.String("closed_first", l.closed.String()))
	if l.up.code != 0 {
		record.AddAttrs(slog.Int("client_close_code", int(l.up.code)))
	}
	if l.down.code != 0 {
		record.AddAttrs(slog.Int("backend_close_code", int(l.down.code)))
	}
	if l.sent != 0 {
		record.AddAttrs(slog.Int("sent_close_code", int(l.sent)))
	}
}
