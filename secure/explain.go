package secure

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"
)

// Explain says why a handshake has failed, and of a certificate that was refused
// whose it is.
func Explain(err error) string {
	var refused *tls.CertificateVerificationError
	if !errors.As(err, &refused) || len(refused.UnverifiedCertificates) == 0 {
		return err.Error()
	}
	leaf := refused.UnverifiedCertificates[0]
	return fmt.Sprintf("certificate of %q, issued by %q, valid from %s to %s: %v", leaf.Subject.String(), leaf.Issuer.String(),
		leaf.NotBefore.UTC().Format(time.RFC3339), leaf.NotAfter.UTC().Format(time.RFC3339), refused.Err)
}
