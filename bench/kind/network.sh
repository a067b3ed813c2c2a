# The pod network of a node, as kind's own does it: a range a node and kept routes between them, by the plugins of the image.
set -eu
until ranges=$(/usr/bin/kubectl get node "$NODE" -o 'go-template={{range $i, $range := .spec.podCIDRs}}{{if $i}},{{end}}[{"subnet":"{{$range}}"}]{{end}}') && [ -n "$ranges" ]; do
  /usr/bin/sleep 0.2
done
/usr/bin/cat >/etc/cni/net.d/.new <<END
{"cniVersion":"1.0.0","name":"bench","plugins":[{"type":"bridge","bridge":"cni0","isGateway":true,"hairpinMode":true,"ipMasq":true,
"ipam":{"type":"host-local","ranges":[$ranges],"routes":[{"dst":"0.0.0.0/0"},{"dst":"::/0"}]}},{"type":"portmap","capabilities":{"portMappings":true}}]}
END
/usr/bin/mv /etc/cni/net.d/.new /etc/cni/net.d/10-bench.conflist
while :; do
  /usr/bin/kubectl get nodes -o 'go-template={{range .items}}{{$node := .}}{{range $i, $range := .spec.podCIDRs}}{{$node.metadata.name}} {{$range}} {{(index $node.status.addresses $i).address}}{{"\n"}}{{end}}{{end}}' |
    while read -r name range address; do
      [ "$name" = "$NODE" ] || /usr/sbin/ip route replace "$range" via "$address"
    done || :
  /usr/bin/sleep 0.5
done
