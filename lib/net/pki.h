/* pki.h - makes the certificates of a development machine: a CA and a server certificate signed by
 * it. */
#ifndef TOLLGATE_NET_PKI_H
#define TOLLGATE_NET_PKI_H

#include "lib/base/attr.h"
#include "lib/base/err.h"

/* Writes in `dir`: ca.pem, ca.key, server.pem (with chain) and server.key (keys 0600; ECDSA P-256;
 * SAN localhost, 127.0.0.1, ::1; real time, not the process's clock offset). Keeps what exists and
 * is valid for 30 more days. */
bool pki_ensure_dev(const char *dir, struct err *err) MUST_USE;

#endif
