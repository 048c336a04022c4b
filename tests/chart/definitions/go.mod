// Where the chart's tests have the definitions of ServiceMonitor, PrometheusRule and HTTPRoute: they lie in these modules.
module airloom.io/tests/chart/definitions

go 1.26.0

require (
	github.com/prometheus-operator/prometheus-operator v0.85.0
	sigs.k8s.io/gateway-api v1.3.0
)
