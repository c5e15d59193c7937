package secure

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"hash"

	"golang.org/x/crypto/chacha20poly1305"
)

// secrets are the application traffic secrets of a TLS 1.3 handshake. crypto/tls
// tells them, and nothing else of use here, as a line of its key log.
type secrets struct {
	client, server []byte
	told           func() // both are known
}

// Write takes a line of the key log: label, random of the client, secret.
func (s *secrets) Write(line []byte) (int, error) {
	fields := bytes.Fields(line)
	if len(fields) != 3 {
		return len(line), nil
	}
	var to *[]byte
	switch string(fields[0]) {
	case "CLIENT_TRAFFIC_SECRET_0":
		to = &s.client
	case "SERVER_TRAFFIC_SECRET_0":
		to = &s.server
	default:
		return len(line), nil
	}
	secret := make([]byte, hex.DecodedLen(len(fields[2])))
	if _, err := hex.Decode(secret, fields[2]); err != nil {
		return 0, err
	}
	if *to = secret; s.client != nil && s.server != nil {
		s.told()
	}
	return len(line), nil
}

// errSuite says that a handshake has agreed on what this room does not know.
var errSuite = errors.New("secure: cipher suite is not one of TLS 1.3")

// hashOf returns the hash of a cipher suite of TLS 1.3 (RFC 8446 section B.4).
func hashOf(suite uint16) func() hash.Hash {
	if suite == tls.TLS_AES_256_GCM_SHA384 {
		return sha512.New384
	}
	return sha256.New
}

// newAEAD returns the cipher of a suite and its nonce's fixed part, by a traffic
// secret (RFC 8446 section 7.3).
func newAEAD(suite uint16, secret []byte) (cipher.AEAD, [nonceBytes]byte, error) {
	size := 32
	if suite == tls.TLS_AES_128_GCM_SHA256 {
		size = 16
	}
	var iv [nonceBytes]byte
	key, err := expandLabel(suite, secret, "key", size)
	if err != nil {
		return nil, iv, err
	}
	fixed, err := expandLabel(suite, secret, "iv", nonceBytes)
	if err != nil {
		return nil, iv, err
	}
	copy(iv[:], fixed)
	switch suite {
	case tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384:
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, iv, err
		}
		aead, err := cipher.NewGCM(block)
		return aead, iv, err
	case tls.TLS_CHACHA20_POLY1305_SHA256:
		aead, err := chacha20poly1305.New(key)
		return aead, iv, err
	}
	return nil, iv, errSuite
}

// nextSecret is the secret behind a KeyUpdate (RFC 8446 section 7.2).
func nextSecret(suite uint16, secret []byte) ([]byte, error) {
	return expandLabel(suite, secret, "traffic upd", len(secret))
}

// expandLabel is HKDF-Expand-Label without a context (RFC 8446 section 7.1).
func expandLabel(suite uint16, secret []byte, label string, size int) ([]byte, error) {
	label = "tls13 " + label
	info := make([]byte, 0, 4+len(label))
	info = append(info, byte(size>>8), byte(size), byte(len(label)))
	info = append(info, label...)
	info = append(info, 0)
	return hkdf.Expand(hashOf(suite), secret, string(info), size)
}
