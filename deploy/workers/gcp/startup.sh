#!/bin/sh
# Startup script of a VM that runs one worker of Google Cloud. It runs at every start and changes nothing that is as it should be.
# The instance's metadata say which program and where Temporal is; Secret Manager has the rest.
set -eu
umask 077

attribute() {
  curl -sSf -H 'Metadata-Flavor: Google' "http://metadata.google.internal/computeMetadata/v1/instance/attributes/$1"
}

id m3o >/dev/null 2>&1 || useradd --system --home-dir /var/lib/m3o --create-home --shell /usr/sbin/nologin m3o

gcloud storage cp "$(attribute m3o-program)" /usr/local/bin/m3o.new
echo "$(attribute m3o-program-sha256)  /usr/local/bin/m3o.new" | sha256sum --check --strict --quiet
chmod 755 /usr/local/bin/m3o.new
mv /usr/local/bin/m3o.new /usr/local/bin/m3o

mkdir -p /etc/m3o
for secret in temporal-crt temporal-key temporal-ca payload-keys ticket-jwks; do
  gcloud secrets versions access latest --secret "m3o-$secret" >"/etc/m3o/$secret.new"
  mv "/etc/m3o/$secret.new" "/etc/m3o/$secret"
done
cat >/etc/m3o/worker.env <<END
M3O_TEMPORAL=$(attribute m3o-temporal)
M3O_TEMPORAL_CERT_FILE=/etc/m3o/temporal-crt
M3O_TEMPORAL_KEY_FILE=/etc/m3o/temporal-key
M3O_TEMPORAL_CA_FILE=/etc/m3o/temporal-ca
M3O_PAYLOAD_KEYS=/etc/m3o/payload-keys
M3O_TICKET_PUBLIC_KEYS=/etc/m3o/ticket-jwks
M3O_IMAGE_GATEWAY=$(attribute m3o-gateway)
M3O_EGRESS_CIDRS=$(attribute m3o-egress)
END
chown -R m3o:m3o /etc/m3o

cat >/etc/systemd/system/m3o-worker.service <<'END'
[Unit]
Description=Worker of Google Cloud
Wants=network-online.target
After=network-online.target

[Service]
User=m3o
EnvironmentFile=/etc/m3o/worker.env
ExecStart=/usr/local/bin/m3o worker --queues cloud-gcp
Restart=always
RestartSec=5
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
CapabilityBoundingSet=
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
MemoryMax=1G

[Install]
WantedBy=multi-user.target
END
systemctl daemon-reload
systemctl enable m3o-worker.service
systemctl restart m3o-worker.service
