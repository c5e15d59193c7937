// Package archtest holds the rules of the repository that no compiler checks:
// which room may import which, and what the sources may look like.
//
// It has no code besides its tests. The rules are the tables at the top of
// imports_test.go and tidy_test.go; a rule is changed there, with its reason.
package archtest
