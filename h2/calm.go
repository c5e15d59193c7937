package h2

import (
	"time"

	"golang.org/x/net/http2"
)

// errCalm is told to a client that makes more work than it can mean.
const errCalm = http2.ConnectionError(http2.ErrCodeEnhanceYourCalm)

// An allowance is for how many times a client may do something: a number at once,
// and then so many a second.
type allowance struct {
	most, perSecond float64
	used            float64
	at              time.Time
}

// take uses the allowance once, or fails.
func (a *allowance) take() error {
	now := time.Now()
	a.used = max(0, a.used-a.perSecond*now.Sub(a.at).Seconds())
	a.at = now
	if a.used++; a.used > a.most {
		return errCalm
	}
	return nil
}
