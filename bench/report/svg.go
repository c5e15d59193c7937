package report

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strings"
)

// A drawing is an SVG picture under way. It brings its own background and
// follows the reader's choice of light or dark, so that it can be read on
// either.
type drawing struct{ bytes.Buffer }

const style = `<style>
.paper{fill:#ffffff;stroke:#d0d7de}
.ink{fill:#1f2328}
.faint{fill:#59636e}
.grid{stroke:#d8dee4;stroke-width:1}
.whisker{stroke:#1f2328;stroke-width:1.5;fill:none}
@media (prefers-color-scheme:dark){
.paper{fill:#0d1117;stroke:#30363d}
.ink{fill:#e6edf3}
.faint{fill:#9198a1}
.grid{stroke:#30363d}
.whisker{stroke:#e6edf3}
}
</style>
`

// colors are legible on both backgrounds.
var colors = map[string]string{
	Direct: "#8c959f", Subject: "#1f78ff", "wsplice-epoll": "#5ca9ff", "wsplice-io_uring": "#79b8ff",
	"wsplice-async-off": "#9ecbff", "nginx": "#2da44e", "haproxy": "#d4760a", "haproxy-splice": "#b35900",
	FramesAlways: "#54aeff", FramesOff: "#6cb6ff",
	"apache": "#d1365a", "lighttpd": "#8957e5", "caddy": "#12918c",
	WarmSubject: "#0a3069", "websockify": "#bf8700",
}

func colorOf(proxy string) string {
	if c, ok := colors[proxy]; ok {
		return c
	}
	return "#8c959f"
}

// newDrawing begins a picture with its title, and a line below it.
func newDrawing(width, height int, title, below string) *drawing {
	d := &drawing{}
	d.put(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" `+
		`font-family="system-ui,'Segoe UI',Helvetica,Arial,sans-serif" font-size="13" role="img">`, width, height, width, height)
	d.put(`<title>%s</title>`, escaped(title))
	d.WriteString(style)
	d.put(`<rect class="paper" x="0.5" y="0.5" width="%d" height="%d" rx="6"/>`, width-1, height-1)
	d.put(`<text class="ink" x="16" y="26" font-size="15" font-weight="600">%s</text>`, escaped(title))
	d.text("faint", 16, 46, "start", below)
	return d
}

func (d *drawing) put(format string, args ...any) { fmt.Fprintf(d, format+"\n", args...) }

// text writes at a baseline; anchor is start, middle or end.
func (d *drawing) text(class string, x, y float64, anchor, s string) {
	d.put(`<text class="%s" x="%.1f" y="%.1f" text-anchor="%s">%s</text>`, class, x, y, anchor, escaped(s))
}

func (d *drawing) end() []byte {
	d.WriteString("</svg>\n")
	return d.Bytes()
}

func escaped(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder does not fail
	return b.String()
}
