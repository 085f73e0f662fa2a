"""AES-GCM by OpenSSL's library, not by the one inside the program: a second opinion of the wire."""

import ctypes
import ctypes.util

TAG = 16
_SET_TAG, _GET_TAG = 0x11, 0x10


def _library():
    name = ctypes.util.find_library("crypto")
    library = ctypes.CDLL(name) if name else None
    for function in ("EVP_CIPHER_CTX_new", "EVP_aes_128_gcm", "EVP_aes_256_gcm"):
        if library is not None:
            getattr(library, function).restype = ctypes.c_void_p
    return library


_CRYPTO = _library()


class Cipher:
    """One key of 16 or 32 bytes."""

    def __init__(self, key):
        self._key = key
        self._context = ctypes.c_void_p(_CRYPTO.EVP_CIPHER_CTX_new())
        kind = _CRYPTO.EVP_aes_128_gcm if len(key) == 16 else _CRYPTO.EVP_aes_256_gcm
        self._kind = ctypes.c_void_p(kind())

    def __del__(self):
        _CRYPTO.EVP_CIPHER_CTX_free(self._context)

    def seal(self, nonce, signed, clear):
        """What is hidden, and the tag."""
        hidden, _ = self._run(1, nonce, signed, clear)
        tag = ctypes.create_string_buffer(TAG)
        _CRYPTO.EVP_CIPHER_CTX_ctrl(self._context, _GET_TAG, TAG, tag)
        return hidden + tag.raw

    def open(self, nonce, signed, hidden, tag):
        """What was hidden, or None."""
        clear, is_right = self._run(0, nonce, signed, hidden, tag)
        return clear if is_right else None

    def _run(self, is_sealing, nonce, signed, text, tag=None):
        context, length = self._context, ctypes.c_int()
        _CRYPTO.EVP_CipherInit_ex(context, self._kind, None, self._key, nonce, is_sealing)
        _CRYPTO.EVP_CipherUpdate(context, None, ctypes.byref(length), signed, len(signed))
        out = ctypes.create_string_buffer(len(text) + TAG)
        _CRYPTO.EVP_CipherUpdate(context, out, ctypes.byref(length), text, len(text))
        if tag is not None:
            _CRYPTO.EVP_CIPHER_CTX_ctrl(context, _SET_TAG, TAG, ctypes.c_char_p(tag))
        end = ctypes.create_string_buffer(TAG)
        done = _CRYPTO.EVP_CipherFinal_ex(context, end, ctypes.byref(length))
        return out.raw[:len(text)], done == 1
