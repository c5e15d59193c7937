package echo

// feedRaw takes the plain bytes that came next. data may be referred to by the
// output until the next flush.
func (s *session) feedRaw(data []byte) error {
	s.phase = readingFrames // a Source begins
	if s.options.Mode != Echo {
		return nil
	}
	_, err := s.out.WriteBinary(data)
	return err
}
