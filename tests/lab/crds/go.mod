module lab.local/crds

go 1.26.8

require (
	github.com/projectcontour/contour v1.33.8
	github.com/traefik/traefik/v3 v3.7.13
	istio.io/istio v0.0.0-20260827124520-eed52ebb66ad
	sigs.k8s.io/gateway-api v1.6.3
)
