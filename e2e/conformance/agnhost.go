//go:build tools

package conformance

// The program that the suites' pods run.
import _ "k8s.io/kubernetes/test/images/agnhost"
