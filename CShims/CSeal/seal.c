#include "CSeal.h"

#include <CCryptoBoringSSL_aead.h>
#include <CCryptoBoringSSL_mem.h>

int mirrorcast_seal_has_hardware(void) { return EVP_has_aes_hardware(); }

struct mirrorcast_seal_key {
    EVP_AEAD_CTX context;
};

mirrorcast_seal_key *mirrorcast_seal_key_make(const void *bytes, size_t count) {
    const EVP_AEAD *aead = count == 16 ? EVP_aead_aes_128_gcm()
        : count == 32 ? EVP_aead_aes_256_gcm() : NULL;
    if (!aead) return NULL;
    mirrorcast_seal_key *key = OPENSSL_zalloc(sizeof *key);
    if (!key) return NULL;
    if (!EVP_AEAD_CTX_init(&key->context, aead, bytes, count, mirrorcast_seal_tag_bytes, NULL)) {
        OPENSSL_free(key);
        return NULL;
    }
    return key;
}

void mirrorcast_seal_key_free(mirrorcast_seal_key *key) {
    if (!key) return;
    // The library's own memory is overwritten when it is freed.
    EVP_AEAD_CTX_cleanup(&key->context);
    OPENSSL_free(key);
}

int mirrorcast_seal(
    const mirrorcast_seal_key *key, const void *nonce, const void *clear, size_t clear_count,
    void *bytes, size_t count, void *tag) {
    size_t tag_count = 0;
    return EVP_AEAD_CTX_seal_scatter(
               &key->context, bytes, tag, &tag_count, mirrorcast_seal_tag_bytes, nonce,
               mirrorcast_seal_nonce_bytes, bytes, count, NULL, 0, clear, clear_count)
        && tag_count == mirrorcast_seal_tag_bytes;
}

int mirrorcast_unseal(
    const mirrorcast_seal_key *key, const void *nonce, const void *clear, size_t clear_count,
    void *bytes, size_t count, const void *tag) {
    return EVP_AEAD_CTX_open_gather(
        &key->context, bytes, nonce, mirrorcast_seal_nonce_bytes, bytes, count, tag,
        mirrorcast_seal_tag_bytes, clear, clear_count);
}
