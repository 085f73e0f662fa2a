// AES-GCM (NIST SP 800-38D) in place, by the BoringSSL inside swift-crypto: the same code that its
// AES.GCM calls, without the memory which that takes and the key that it expands for each message.
//
// A key may be used by several threads at once. Nonces have 12 bytes, tags 16. No nonce may be used
// twice with one key for sealing or signing: whoever calls sees to that.
#ifndef MIRRORCAST_CSEAL_H
#define MIRRORCAST_CSEAL_H

#include <stddef.h>
#include <stdint.h>

enum { mirrorcast_seal_nonce_bytes = 12, mirrorcast_seal_tag_bytes = 16 };

/// Whether this processor has instructions for AES and for what signs with it.
int mirrorcast_seal_has_hardware(void);

/// An expanded key; the bytes that it was made of need not stay.
typedef struct mirrorcast_seal_key mirrorcast_seal_key;

/// Expands a key of 16 or 32 bytes. NULL where it is of another length, or there is no memory.
mirrorcast_seal_key *mirrorcast_seal_key_make(const void *bytes, size_t count);

/// Overwrites a key and frees it. NULL is allowed.
void mirrorcast_seal_key_free(mirrorcast_seal_key *key);

/// Encrypts `count` bytes in place, signs them and `clear_count` others (which must not overlap
/// them), and puts the tag at `tag`. Returns 1; 0 where the library refuses, and nothing may be
/// sent then.
int mirrorcast_seal(
    const mirrorcast_seal_key *key, const void *nonce, const void *clear, size_t clear_count,
    void *bytes, size_t count, void *tag);

/// Verifies a tag and decrypts in place. Returns 1; 0 where the tag is of something else, and the
/// bytes are of no use then.
int mirrorcast_unseal(
    const mirrorcast_seal_key *key, const void *nonce, const void *clear, size_t clear_count,
    void *bytes, size_t count, const void *tag);

#endif
