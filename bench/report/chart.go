package report

import (
	"bytes"
	"encoding/xml"
	"fmt"
)

// The chart's layout, in SVG user units.
const (
	chartWidth  = 720
	labelWidth  = 150
	valueWidth  = 190
	rowHeight   = 30
	barHeight   = 18
	chartTop    = 56
	chartBottom = 16
)

// chart draws one horizontal bar per proxy for the first metric of a
// scenario, with a whisker from the least to the greatest round.
func (r *Results) chart(scenario string) []byte {
	c := columns(r.first(scenario))[0]
	type bar struct {
		name string
		s    Spread
	}
	var bars []bar
	longest := 0.0
	for _, proxy := range r.in(scenario) {
		if s, ok := r.of(c.metric, scenario, proxy); ok {
			bars = append(bars, bar{proxy, s})
			longest = max(longest, s.Max)
		}
	}
	if longest == 0 {
		longest = 1
	}
	height := chartTop + rowHeight*len(bars) + chartBottom
	scale := float64(chartWidth-labelWidth-valueWidth) / longest

	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" `+
		`font-family="sans-serif" font-size="13" role="img">`+"\n",
		chartWidth, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", chartWidth, height)
	fmt.Fprintf(&b, `<text x="12" y="22" font-size="15" fill="#1a1a1a">%s</text>`+"\n",
		escaped(title(r.first(scenario))))
	fmt.Fprintf(&b, `<text x="12" y="42" fill="#555555">%s, %s; less is better</text>`+"\n",
		escaped(c.metric.title), escaped(c.unit))
	for i, bar := range bars {
		y := chartTop + i*rowHeight
		fill := "#8a97a8"
		if bar.name == Subject {
			fill = "#1f6feb"
		}
		mid := y + barHeight/2
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end" fill="#1a1a1a">%s</text>`+"\n",
			labelWidth-10, y+14, escaped(bar.name))
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.1f" height="%d" rx="2" fill="%s"/>`+"\n",
			labelWidth, y, max(1, bar.s.Median*scale), barHeight, fill)
		fmt.Fprintf(&b, `<path d="M%.1f %dH%.1f" stroke="#1a1a1a" stroke-width="1.5"/>`+"\n",
			labelWidth+bar.s.Min*scale, mid, labelWidth+bar.s.Max*scale)
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" fill="#1a1a1a">%s</text>`+"\n",
			labelWidth+bar.s.Max*scale+8, y+14, escaped(r.cell(c, scenario, bar.name)))
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

func escaped(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // a bytes.Buffer does not fail
	return b.String()
}
