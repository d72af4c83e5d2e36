package controlplane

import (
	"fmt"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// Kubeconfig returns a kubeconfig for the cluster at endpoint whose user is auth.
func Kubeconfig(cluster, endpoint string, authority []byte, user string, auth *api.AuthInfo) ([]byte, error) {
	config := api.NewConfig()
	config.Clusters[cluster] = &api.Cluster{Server: endpoint, CertificateAuthorityData: authority}
	config.AuthInfos[user] = auth
	config.Contexts[cluster] = &api.Context{Cluster: cluster, AuthInfo: user}
	config.CurrentContext = cluster
	data, err := clientcmd.Write(*config)
	if err != nil {
		return nil, fmt.Errorf("write the kubeconfig of %s: %w", user, err)
	}
	return data, nil
}

func (c *ControlPlane) restConfig(pair KeyPair, user string) *rest.Config {
	return &rest.Config{
		Host:            c.endpoint,
		UserAgent:       user,
		TLSClientConfig: rest.TLSClientConfig{CAData: c.pki.authority.CertPEM, CertData: pair.Cert, KeyData: pair.Key},
		QPS:             -1,
	}
}

// componentKubeconfig writes the kubeconfig of a component that has a key pair
// in the key directory, and returns its path.
func (c *ControlPlane) componentKubeconfig(name string) (string, error) {
	pair, err := c.pki.pair(name)
	if err != nil {
		return "", err
	}
	auth := &api.AuthInfo{ClientCertificateData: pair.Cert, ClientKeyData: pair.Key}
	data, err := Kubeconfig(c.config.Name, c.endpoint, c.pki.authority.CertPEM, name, auth)
	if err != nil {
		return "", err
	}
	return c.write(name+".kubeconfig", data)
}
