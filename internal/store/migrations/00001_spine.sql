-- The read model, the events, the audit log and the keys of requests. The same text runs on SQLite, PostgreSQL and
-- CockroachDB. Where a noun is kept whole, doc holds it as JSON and the other columns repeat what is searched by.

-- +goose Up
CREATE TABLE counters (
    name  TEXT   NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);

INSERT INTO counters (name, value) VALUES ('events', 0), ('audits', 0), ('signals', 0), ('callbacks', 0), ('alerts', 0);

-- platform is empty for the default project until the first platform is applied. suspensions are its reasons, as JSON;
-- version grows with every change of them. The row of a project that was removed stays: its name is never given again.
CREATE TABLE projects (
    name        TEXT        NOT NULL PRIMARY KEY,
    platform    TEXT        NOT NULL,
    status      TEXT        NOT NULL,
    suspensions TEXT        NOT NULL,
    version     BIGINT      NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL,
    created_by  TEXT        NOT NULL
);

CREATE TABLE users (
    id         TEXT        NOT NULL PRIMARY KEY,
    name       TEXT        NOT NULL,
    email      TEXT        NOT NULL,
    status     TEXT        NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    created_by TEXT        NOT NULL
);

CREATE UNIQUE INDEX users_name ON users (name);

CREATE TABLE service_accounts (
    id         TEXT        NOT NULL PRIMARY KEY,
    project    TEXT        NOT NULL,
    name       TEXT        NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    created_by TEXT        NOT NULL
);

CREATE UNIQUE INDEX service_accounts_name ON service_accounts (project, name);

-- member is the id of a user or of a service account. Without a project it is a role on the platform.
CREATE TABLE roles (
    member  TEXT NOT NULL,
    project TEXT NOT NULL,
    role    TEXT NOT NULL,
    PRIMARY KEY (member, project, role)
);

CREATE INDEX roles_project ON roles (project, role);

-- hash is that of the code, which is good once.
CREATE TABLE invitations (
    member     TEXT        NOT NULL PRIMARY KEY,
    hash       TEXT        NOT NULL,
    created_by TEXT        NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL
);

CREATE UNIQUE INDEX invitations_hash ON invitations (hash);

CREATE TABLE regions (
    platform TEXT   NOT NULL,
    name     TEXT   NOT NULL,
    status   TEXT   NOT NULL,
    message  TEXT   NOT NULL,
    version  BIGINT NOT NULL,
    doc      TEXT   NOT NULL,
    PRIMARY KEY (platform, name)
);

CREATE TABLE plans (
    id     TEXT NOT NULL PRIMARY KEY,
    status TEXT NOT NULL,
    doc    TEXT NOT NULL,
    wanted TEXT NOT NULL
);

-- Numbers outlive the releases and the service they were given to.
CREATE TABLE release_numbers (
    project TEXT   NOT NULL,
    service TEXT   NOT NULL,
    last    BIGINT NOT NULL,
    PRIMARY KEY (project, service)
);

CREATE TABLE releases (
    project     TEXT   NOT NULL,
    service     TEXT   NOT NULL,
    number      BIGINT NOT NULL,
    request_key TEXT   NOT NULL,
    status      TEXT   NOT NULL,
    message     TEXT   NOT NULL,
    version     BIGINT NOT NULL,
    doc         TEXT   NOT NULL,
    PRIMARY KEY (project, service, number)
);

CREATE UNIQUE INDEX releases_request_key ON releases (project, service, request_key);
CREATE INDEX releases_status ON releases (status);

CREATE TABLE services (
    project TEXT   NOT NULL,
    name    TEXT   NOT NULL,
    status  TEXT   NOT NULL,
    message TEXT   NOT NULL,
    version BIGINT NOT NULL,
    doc     TEXT   NOT NULL,
    PRIMARY KEY (project, name)
);

-- How a service is in a region (platform/name), by who watches the gateways. Without a project it is the region itself, and without
-- a region all of them.
CREATE TABLE health (
    project TEXT NOT NULL,
    service TEXT NOT NULL,
    region  TEXT NOT NULL,
    doc     TEXT NOT NULL,
    PRIMARY KEY (project, service, region)
);

-- Who does what one process at a time does. beat grows with every renewal: one that stands still for long has lost its holder.
CREATE TABLE leases (
    name       TEXT        NOT NULL PRIMARY KEY,
    holder     TEXT        NOT NULL,
    beat       BIGINT      NOT NULL,
    renewed_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE events (
    seq     BIGINT      NOT NULL PRIMARY KEY,
    time    TIMESTAMPTZ NOT NULL,
    project TEXT        NOT NULL,
    kind    TEXT        NOT NULL,
    subject TEXT        NOT NULL,
    region  TEXT        NOT NULL,
    message TEXT        NOT NULL
);

CREATE INDEX events_project ON events (project, seq);

-- What needs looking after now. kind is that of the event that told its beginning; its end is told when the row goes.
CREATE TABLE conditions (
    kind    TEXT        NOT NULL,
    subject TEXT        NOT NULL,
    project TEXT        NOT NULL,
    region  TEXT        NOT NULL,
    message TEXT        NOT NULL,
    since   TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (kind, subject)
);

CREATE TABLE audits (
    seq        BIGINT      NOT NULL PRIMARY KEY,
    time       TIMESTAMPTZ NOT NULL,
    subject    TEXT        NOT NULL,
    kind       TEXT        NOT NULL,
    project    TEXT        NOT NULL,
    action     TEXT        NOT NULL,
    target     TEXT        NOT NULL,
    caller     TEXT        NOT NULL,
    request_id TEXT        NOT NULL,
    status     BIGINT      NOT NULL
);

-- hash is the hexadecimal SHA-256 of a token: the token itself is nowhere.
-- owner is the id of a user or of a service account. project limits the token to one; scopes are a JSON list.
CREATE TABLE tokens (
    hash       TEXT        NOT NULL PRIMARY KEY,
    id         TEXT        NOT NULL,
    owner      TEXT        NOT NULL,
    kind       TEXT        NOT NULL,
    name       TEXT        NOT NULL,
    scopes     TEXT        NOT NULL,
    project    TEXT        NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    created_by TEXT        NOT NULL,
    expires_at TIMESTAMPTZ,
    last_used  TIMESTAMPTZ
);

CREATE UNIQUE INDEX tokens_id ON tokens (id);
CREATE UNIQUE INDEX tokens_name ON tokens (owner, name);

-- hash is that of the session's id, which only the browser has.
CREATE TABLE sessions (
    hash       TEXT        NOT NULL PRIMARY KEY,
    token      TEXT        NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL
);

CREATE INDEX sessions_token ON sessions (token);
CREATE INDEX sessions_expires ON sessions (expires_at);

CREATE TABLE claims (
    principal   TEXT        NOT NULL,
    route       TEXT        NOT NULL,
    request_key TEXT        NOT NULL,
    body_hash   TEXT        NOT NULL,
    attempt     BIGINT      NOT NULL,
    state       TEXT        NOT NULL,
    status      BIGINT      NOT NULL,
    body        BYTEA,
    leased_to   TIMESTAMPTZ NOT NULL,
    expires_at  TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (principal, route, request_key)
);

CREATE INDEX claims_expires ON claims (expires_at);

-- first is the signal that an alert began with, upto the last that it knew of when it was recorded: with them a group's next alert is
-- told from a repetition.
CREATE TABLE alerts (
    number   BIGINT NOT NULL PRIMARY KEY,
    project  TEXT   NOT NULL,
    hash     TEXT   NOT NULL,
    first    BIGINT NOT NULL,
    upto     BIGINT NOT NULL,
    service  TEXT   NOT NULL,
    severity TEXT   NOT NULL,
    status   TEXT   NOT NULL,
    version  BIGINT NOT NULL,
    doc      TEXT   NOT NULL
);

CREATE UNIQUE INDEX alerts_first ON alerts (project, hash, first);
CREATE INDEX alerts_project ON alerts (project, number);
CREATE INDEX alerts_status ON alerts (status, number);

CREATE TABLE alert_entries (
    number BIGINT      NOT NULL,
    key    TEXT        NOT NULL,
    at     TIMESTAMPTZ NOT NULL,
    doc    TEXT        NOT NULL,
    PRIMARY KEY (number, key)
);

-- One row for each page's key and contact. contact is a contact's id, or the address of a policy's target; code is what a reply by SMS
-- begins with, 0 of other channels.
CREATE TABLE pages (
    key        TEXT        NOT NULL,
    contact    TEXT        NOT NULL,
    project    TEXT        NOT NULL,
    alert      BIGINT      NOT NULL,
    person     TEXT        NOT NULL,
    channel    TEXT        NOT NULL,
    kind       TEXT        NOT NULL,
    state      TEXT        NOT NULL,
    receipt    TEXT        NOT NULL,
    message    TEXT        NOT NULL,
    code       BIGINT      NOT NULL,
    began_at   TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (key, contact)
);

CREATE INDEX pages_alert ON pages (alert, began_at);
CREATE INDEX pages_receipt ON pages (channel, receipt);
CREATE INDEX pages_contact ON pages (contact, began_at);
CREATE INDEX pages_person ON pages (person, began_at);
CREATE INDEX pages_began ON pages (began_at);

-- How a project's alerts reach people. version grows with every change.
CREATE TABLE alert_rules (
    project    TEXT        NOT NULL PRIMARY KEY,
    version    BIGINT      NOT NULL,
    doc        TEXT        NOT NULL,
    changed_at TIMESTAMPTZ NOT NULL,
    changed_by TEXT        NOT NULL
);

-- Silences and maintenance windows, those that are over too. due_at is when the status changes next by time alone.
CREATE TABLE silences (
    id          TEXT        NOT NULL PRIMARY KEY,
    project     TEXT        NOT NULL,
    maintenance BOOLEAN     NOT NULL,
    status      TEXT        NOT NULL,
    ends        TIMESTAMPTZ NOT NULL,
    due_at      TIMESTAMPTZ,
    doc         TEXT        NOT NULL
);

CREATE INDEX silences_project ON silences (project, ends, id);
CREATE INDEX silences_due ON silences (due_at);

-- member is a user's id. An address that is verified is one person's; code_hash is that of the last code that was sent there (of sends),
-- and is empty when none is good.
CREATE TABLE contacts (
    id           TEXT        NOT NULL PRIMARY KEY,
    member       TEXT        NOT NULL,
    channel      TEXT        NOT NULL,
    address      TEXT        NOT NULL,
    status       TEXT        NOT NULL,
    message      TEXT        NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL,
    sends        BIGINT      NOT NULL,
    code_hash    TEXT        NOT NULL,
    code_tries   BIGINT      NOT NULL,
    code_expires TIMESTAMPTZ NOT NULL
);

CREATE UNIQUE INDEX contacts_member ON contacts (member, channel, address);
CREATE INDEX contacts_address ON contacts (channel, address);

-- Codes that were sent within a day, to limit them: a contact that is removed and added again is no way around.
CREATE TABLE contact_codes (
    id      TEXT        NOT NULL PRIMARY KEY,
    member  TEXT        NOT NULL,
    address TEXT        NOT NULL,
    sent_at TIMESTAMPTZ NOT NULL
);

CREATE INDEX contact_codes_sent ON contact_codes (sent_at);

-- How a user wants to be paged: lines by urgency, as JSON.
CREATE TABLE notify_rules (
    member TEXT NOT NULL PRIMARY KEY,
    doc    TEXT NOT NULL
);

CREATE TABLE overrides (
    id         TEXT        NOT NULL PRIMARY KEY,
    project    TEXT        NOT NULL,
    schedule   TEXT        NOT NULL,
    person     TEXT        NOT NULL,
    begins     TIMESTAMPTZ NOT NULL,
    ends       TIMESTAMPTZ NOT NULL,
    created_by TEXT        NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);

CREATE INDEX overrides_project ON overrides (project, ends);

-- What sources of alerts said, in the order in which it was kept. doc is the signal.
CREATE TABLE signals (
    seq     BIGINT      NOT NULL PRIMARY KEY,
    time    TIMESTAMPTZ NOT NULL,
    project TEXT        NOT NULL,
    doc     TEXT        NOT NULL
);

CREATE INDEX signals_time ON signals (time);

-- A dedup key as its last signal left it. alert_group is the hash of its group; grade orders severities, 0 is the worst.
CREATE TABLE alert_keys (
    project     TEXT        NOT NULL,
    dedup_key   TEXT        NOT NULL,
    alert_group TEXT        NOT NULL,
    firing      BOOLEAN     NOT NULL,
    grade       BIGINT      NOT NULL,
    first_at    TIMESTAMPTZ NOT NULL,
    last_at     TIMESTAMPTZ NOT NULL,
    doc         TEXT        NOT NULL,
    PRIMARY KEY (project, dedup_key)
);

CREATE INDEX alert_keys_group ON alert_keys (project, alert_group);
CREATE INDEX alert_keys_firing ON alert_keys (project, alert_group, grade, first_at, dedup_key) WHERE firing;
CREATE INDEX alert_keys_last ON alert_keys (last_at);

-- A group of keys, and how much of it its workflow was told: all signals up to sent, of those up to upto. pending, first_at and
-- acknowledged are of the signals between; real_seq is the last one that no drill sent.
CREATE TABLE alert_groups (
    project         TEXT        NOT NULL,
    alert_group     TEXT        NOT NULL,
    upto            BIGINT      NOT NULL,
    sent            BIGINT      NOT NULL,
    pending         BIGINT      NOT NULL,
    fired           BIGINT      NOT NULL,
    first_at        TIMESTAMPTZ NOT NULL,
    updated_at      TIMESTAMPTZ NOT NULL,
    acknowledged    TEXT        NOT NULL,
    acknowledged_seq BIGINT     NOT NULL,
    real_seq        BIGINT      NOT NULL,
    doc             TEXT        NOT NULL,
    PRIMARY KEY (project, alert_group)
);

CREATE INDEX alert_groups_pending ON alert_groups (pending);

-- What providers of channels called back with. digest is of what they signed: the same again is not kept.
CREATE TABLE callbacks (
    seq     BIGINT      NOT NULL PRIMARY KEY,
    time    TIMESTAMPTZ NOT NULL,
    channel TEXT        NOT NULL,
    digest  TEXT        NOT NULL,
    doc     TEXT        NOT NULL
);

CREATE UNIQUE INDEX callbacks_digest ON callbacks (channel, digest);
CREATE INDEX callbacks_time ON callbacks (time);

-- How far what reads a sequence has come.
CREATE TABLE cursors (
    name  TEXT   NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);

-- Keys that sources of alerts are let in by. first_hash and second_hash are those of the pair; doc is the key without them.
CREATE TABLE integration_keys (
    id          TEXT        NOT NULL PRIMARY KEY,
    project     TEXT        NOT NULL,
    name        TEXT        NOT NULL,
    first_hash  TEXT        NOT NULL,
    second_hash TEXT        NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL,
    doc         TEXT        NOT NULL
);

CREATE UNIQUE INDEX integration_keys_name ON integration_keys (project, name);
CREATE UNIQUE INDEX integration_keys_first ON integration_keys (first_hash);
CREATE UNIQUE INDEX integration_keys_second ON integration_keys (second_hash);

-- hash is that of the key in the URL that the monitored program asks for. due_at is when it is missed.
CREATE TABLE heartbeats (
    project    TEXT        NOT NULL,
    name       TEXT        NOT NULL,
    hash       TEXT        NOT NULL,
    status     TEXT        NOT NULL,
    due_at     TIMESTAMPTZ,
    doc        TEXT        NOT NULL,
    PRIMARY KEY (project, name)
);

CREATE UNIQUE INDEX heartbeats_hash ON heartbeats (hash);
CREATE INDEX heartbeats_due ON heartbeats (status, due_at);

-- +goose Down
DROP TABLE heartbeats;
DROP TABLE integration_keys;
DROP TABLE cursors;
DROP TABLE callbacks;
DROP TABLE alert_groups;
DROP TABLE alert_keys;
DROP TABLE signals;
DROP TABLE overrides;
DROP TABLE notify_rules;
DROP TABLE contact_codes;
DROP TABLE contacts;
DROP TABLE pages;
DROP TABLE alert_entries;
DROP TABLE alerts;
DROP TABLE silences;
DROP TABLE alert_rules;
DROP TABLE claims;
DROP TABLE sessions;
DROP TABLE tokens;
DROP TABLE audits;
DROP TABLE conditions;
DROP TABLE events;
DROP TABLE leases;
DROP TABLE health;
DROP TABLE services;
DROP TABLE releases;
DROP TABLE release_numbers;
DROP TABLE plans;
DROP TABLE regions;
DROP TABLE invitations;
DROP TABLE roles;
DROP TABLE service_accounts;
DROP TABLE users;
DROP TABLE projects;
DROP TABLE counters;
