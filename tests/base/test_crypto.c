/* The published examples of every algorithm, and keys through files. */
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/crypto.h"
#include "lib/base/file.h"
#include "lib/base/rand.h"
#include "lib/base/text.h"
#include "tests/base/run.h"

START_TEST(sha256_is_as_in_fips_180)
{
    char hex[SHA256_HEX];

    sha256_hex("", 0, hex);
    ck_assert_str_eq(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    sha256_hex("abc", 3, hex);
    ck_assert_str_eq(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}
END_TEST

START_TEST(sha1_is_as_in_fips_180)
{
    char hex[SHA1_HEX];

    sha1_hex("abc", 3, hex);
    ck_assert_str_eq(hex, "a9993e364706816aba3e25717850c26c9cd0d89d");
}
END_TEST

START_TEST(a_stream_hashes_as_the_whole_however_cut)
{
    unsigned char bytes[300];
    char whole[SHA256_HEX], parts[SHA256_HEX];

    rand_bytes(bytes, sizeof bytes);
    sha256_hex(bytes, sizeof bytes, whole);
    for (size_t cut = 0; cut <= sizeof bytes; cut++) {
        AUTO(sha256_stream) s = sha256_stream_new();

        sha256_stream_add(s, bytes, cut);
        sha256_stream_add(s, bytes + cut, sizeof bytes - cut);
        sha256_stream_hex(s, parts);
        ck_assert_str_eq(parts, whole);
    }
}
END_TEST

/* RFC 4231, cases 1, 2 and 4, and one whose key is longer than a block. */
static const struct {
    const char *key, *data, *mac;
} macs[] = {
    {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
     "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
    {"4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
     "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
    {"0102030405060708090a0b0c0d0e0f10111213141516171819",
     "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdc"
     "dcd"
     "cdcd",
     "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
};

static void mac_hex(const char *key_hex, const char *data_hex, char out[SHA256_HEX])
{
    char key[SECRET_MAX], data[128];
    unsigned char mac[SHA256_LEN];
    struct secret secret = {0};

    ck_assert(hex_decode(span_of(key_hex), key, strlen(key_hex) / 2));
    ck_assert(hex_decode(span_of(data_hex), data, strlen(data_hex) / 2));
    ck_assert(secret_set(&secret, (struct span){key, strlen(key_hex) / 2}, NULL));
    hmac_sha256(&secret, (struct span){data, strlen(data_hex) / 2}, mac);
    hex_encode(mac, sizeof mac, out);
}

START_TEST(hmac_is_as_in_rfc_4231)
{
    char hex[SHA256_HEX];

    mac_hex(macs[_i].key, macs[_i].data, hex);
    ck_assert_str_eq(hex, macs[_i].mac);
}
END_TEST

START_TEST(a_key_taken_in_once_makes_the_same_macs_message_after_message)
{
    struct secret key = {.len = 6, .bytes = "pepper"};
    AUTO(hmac_key) kept = hmac_key_new(&key);
    unsigned char alone[SHA256_LEN], mac[SHA256_LEN];
    char bytes[200];

    rand_bytes(bytes, sizeof bytes);
    for (size_t n = 0; n <= sizeof bytes; n++) {
        hmac_sha256(&key, (struct span){bytes, n}, alone);
        hmac_key_mac(kept, (struct span){bytes, n}, mac);
        ck_assert(crypto_equal(alone, mac, SHA256_LEN));
    }
}
END_TEST

START_TEST(keys_of_any_length_are_used_whole)
{
    char bytes[SECRET_MAX] = {0};
    unsigned char a[SHA256_LEN], b[SHA256_LEN];

    for (size_t n = 1; n <= SECRET_MAX; n++) {
        struct secret key = {0};

        ck_assert(secret_set(&key, (struct span){bytes, n}, NULL));
        hmac_sha256(&key, SPAN("x"), a);
        key.bytes[n - 1] ^= 1;
        hmac_sha256(&key, SPAN("x"), b);
        ck_assert(!crypto_equal(a, b, SHA256_LEN));
    }
}
END_TEST

static void *hash_often(void *wanted)
{
    struct secret key = {.len = 3, .bytes = "key"};
    unsigned char mac[SHA256_LEN];

    for (int i = 0; i < 2000; i++) {
        hmac_sha256(&key, SPAN("text"), mac);
        if (!crypto_equal(mac, wanted, SHA256_LEN))
            return wanted;
    }
    return NULL;
}

START_TEST(threads_do_not_disturb_each_other)
{
    struct secret key = {.len = 3, .bytes = "key"};
    unsigned char mac[SHA256_LEN];
    pthread_t threads[4];

    hmac_sha256(&key, SPAN("text"), mac);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, hash_often, mac), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        void *wrong;

        ck_assert_int_eq(pthread_join(threads[i], &wrong), 0);
        ck_assert_ptr_null(wrong);
    }
}
END_TEST

/* McGrew and Viega, "The Galois/Counter Mode of Operation", test cases 13, 14 and 16, whose key has 256 bits. */
static const struct {
    const char *key, *nonce, *aad, *plain, *sealed;
} gcms[] = {
    {"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000",
     "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
    {"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000",
     "", "00000000000000000000000000000000",
     "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"},
    {"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
     "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
     "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
     "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
     "76fc6ece0f4e1768cddf8853bb2d551b"},
};

struct gcm {
    unsigned char key[GCM_KEY_LEN], nonce[GCM_NONCE_LEN], aad[32], plain[64];
    size_t aad_len, plain_len;
};

static struct gcm gcm_case(size_t i)
{
    struct gcm g = {.aad_len = strlen(gcms[i].aad) / 2, .plain_len = strlen(gcms[i].plain) / 2};

    ck_assert(hex_decode(span_of(gcms[i].key), g.key, sizeof g.key) &&
              hex_decode(span_of(gcms[i].nonce), g.nonce, sizeof g.nonce) &&
              hex_decode(span_of(gcms[i].aad), g.aad, g.aad_len) &&
              hex_decode(span_of(gcms[i].plain), g.plain, g.plain_len));
    return g;
}

static struct span bytes_span(const void *bytes, size_t n)
{
    return (struct span){bytes, n};
}

START_TEST(gcm_is_as_published)
{
    struct gcm g = gcm_case((size_t)_i);
    AUTO_CLEAR(buf) sealed = {.max = 256}, plain = {.max = 256};
    char hex[512];

    ck_assert(gcm_seal(g.key, g.nonce, bytes_span(g.aad, g.aad_len),
                       bytes_span(g.plain, g.plain_len), &sealed));
    ck_assert_mem_eq(sealed.data, g.nonce, sizeof g.nonce);
    hex_encode(sealed.data + GCM_NONCE_LEN, sealed.len - GCM_NONCE_LEN, hex);
    ck_assert_str_eq(hex, gcms[_i].sealed);
    ck_assert(gcm_open(g.key, bytes_span(g.aad, g.aad_len), buf_span(&sealed), &plain, NULL));
    ck_assert_uint_eq(plain.len, g.plain_len);
    ck_assert(g.plain_len == 0 || memcmp(plain.data, g.plain, g.plain_len) == 0);
}
END_TEST

START_TEST(what_was_sealed_opens_only_as_it_was)
{
    struct gcm g = gcm_case(2);
    AUTO_CLEAR(buf) sealed = {.max = 256}, plain = {.max = 256};
    struct span aad = bytes_span(g.aad, g.aad_len);
    struct err err;

    ck_assert(gcm_seal(g.key, g.nonce, aad, bytes_span(g.plain, g.plain_len), &sealed));
    for (size_t i = 0; i < sealed.len; i++) {
        sealed.data[i] ^= 1;
        ck_assert(!gcm_open(g.key, aad, buf_span(&sealed), &plain, &err));
        ck_assert_int_eq(err.code, ERR_DENIED);
        sealed.data[i] ^= 1;
    }
    for (size_t n = 0; n < sealed.len; n++)
        ck_assert(!gcm_open(g.key, aad, bytes_span(sealed.data, n), &plain, &err));
    g.key[31] ^= 1;
    ck_assert(!gcm_open(g.key, aad, buf_span(&sealed), &plain, &err));
    g.key[31] ^= 1;
    g.aad[0] ^= 1;
    ck_assert(!gcm_open(g.key, aad, buf_span(&sealed), &plain, &err));
    ck_assert_uint_eq(plain.len, 0);
}
END_TEST

/* RFC 8032 section 7.1, tests 1 and 2, through the PEM form (RFC 8410) of their private keys. */
static const struct {
    const char *pem, *public_hex;
    struct {
        const char *bytes;
        size_t len;
    } message;
    const char *signature;
} signatures[] = {
    {"-----BEGIN PRIVATE "
     "KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
     "-----END PRIVATE KEY-----\n",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
     {"", 0},
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b"
     "46b"
     "d25bf5f0595bbe24655141438e7a100b"},
    {"-----BEGIN PRIVATE "
     "KEY-----\nMC4CAQAwBQYDK2VwBCIEIEzNCJso/5banbbDRuwRTg9bijGfNaumJNqM9u1PuKb7\n"
     "-----END PRIVATE KEY-----\n",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
     {"r", 1},
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11"
     "d8c"
     "387b2eaeb4302aeeb00d291612bb0c00"},
};

START_TEST(ed25519_is_as_in_rfc_8032)
{
    unsigned char raw[ED25519_PUBLIC_LEN], signature[ED25519_SIGNATURE_LEN];
    struct span message = {signatures[_i].message.bytes, signatures[_i].message.len};
    char hex[2 * ED25519_SIGNATURE_LEN + 1];
    AUTO(signing_key) key = NULL;
    AUTO(signing_key) half = NULL;

    ck_assert(file_write_atomic("key.pem", 0600, span_of(signatures[_i].pem), NULL));
    key = signing_key_load("key.pem", NULL);
    ck_assert_ptr_nonnull(key);
    signing_key_public_raw(key, raw);
    hex_encode(raw, sizeof raw, hex);
    ck_assert_str_eq(hex, signatures[_i].public_hex);
    ck_assert(signing_key_sign(key, message, signature, NULL));
    hex_encode(signature, sizeof signature, hex);
    ck_assert_str_eq(hex, signatures[_i].signature);
    half = signing_key_public(raw, NULL);
    ck_assert(signing_key_verify(half, message, signature));
}
END_TEST

START_TEST(any_flipped_bit_breaks_a_signature)
{
    AUTO(signing_key) key = signing_key_generate();
    unsigned char signature[ED25519_SIGNATURE_LEN];
    char text[] = "sixteen bytes ok";

    ck_assert(signing_key_sign(key, span_of(text), signature, NULL));
    ck_assert(signing_key_verify(key, span_of(text), signature));
    for (size_t bit = 0; bit < 8 * sizeof signature; bit++) {
        signature[bit / 8] ^= (unsigned char)(1 << bit % 8);
        ck_assert(!signing_key_verify(key, span_of(text), signature));
        signature[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    for (size_t bit = 0; bit < 8 * 16; bit++) {
        text[bit / 8] = (char)(text[bit / 8] ^ 1 << bit % 8);
        ck_assert(!signing_key_verify(key, (struct span){text, 16}, signature));
        text[bit / 8] = (char)(text[bit / 8] ^ 1 << bit % 8);
    }
}
END_TEST

START_TEST(a_saved_key_is_private_and_the_same_when_loaded)
{
    AUTO(signing_key) key = signing_key_generate();
    AUTO(signing_key) again = NULL;
    char id[KEY_ID_TEXT], id_again[KEY_ID_TEXT], hex[SHA256_HEX];
    unsigned char raw[ED25519_PUBLIC_LEN];
    struct stat st;

    umask(0);
    ck_assert(signing_key_save(key, "key.pem", NULL));
    ck_assert_int_eq(stat("key.pem", &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    again = signing_key_load("key.pem", NULL);
    ck_assert_ptr_nonnull(again);
    signing_key_id(key, id);
    signing_key_id(again, id_again);
    ck_assert_str_eq(id, id_again);
    signing_key_public_raw(key, raw);
    sha256_hex(raw, sizeof raw, hex);
    ck_assert_uint_eq(strlen(id), KEY_ID_TEXT - 1);
    ck_assert(memcmp(id, "k-", 2) == 0 && memcmp(id + 2, hex, 16) == 0);
}
END_TEST

START_TEST(a_key_is_never_replaced_by_another)
{
    AUTO(signing_key) key = signing_key_generate();
    AUTO(signing_key) other = signing_key_generate();
    struct err err;

    ck_assert(signing_key_save(key, "key.pem", &err));
    ck_assert(!signing_key_save(other, "key.pem", &err));
    ck_assert_int_eq(err.code, ERR_EXISTS);
}
END_TEST

START_TEST(the_public_half_verifies_and_does_nothing_else)
{
    AUTO(signing_key) key = signing_key_generate();
    AUTO(signing_key) half = NULL;
    unsigned char raw[ED25519_PUBLIC_LEN], signature[ED25519_SIGNATURE_LEN];
    struct err err;

    signing_key_public_raw(key, raw);
    half = signing_key_public(raw, &err);
    ck_assert(!signing_key_sign(half, SPAN("x"), signature, &err));
    ck_assert_int_eq(err.code, ERR_INPUT);
    ck_assert(!signing_key_save(half, "half.pem", &err));
    ck_assert(!file_exists("half.pem"));
}
END_TEST

/* A cut RSA key, a public key, a key of another curve, garbage, nothing. */
static const char *const bad_keys[] = {
    "-----BEGIN PRIVATE KEY-----\n"
    "MIIBVAIBADANBgkqhkiG9w0BAQEFAASCAT4wggE6AgEAAkEA0+RBYYrYDQXAJ9zW\n"
    "-----END PRIVATE KEY-----\n",
    "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n"
    "-----END PUBLIC KEY-----\n",
    "-----BEGIN PRIVATE "
    "KEY-----\nMC4CAQAwBQYDK2VuBCIEIHcHbQpzGKV9PBbBclGyZkXfTC+H68CZKrF3+6UduSwq\n"
    "-----END PRIVATE KEY-----\n",
    "garbage",
    "",
};

START_TEST(other_keys_are_refused)
{
    struct err err;

    ck_assert(file_write_atomic("key.pem", 0600, span_of(bad_keys[_i]), NULL));
    ck_assert_ptr_null(signing_key_load("key.pem", &err));
    ck_assert_int_eq(err.code, ERR_INPUT);
    ck_assert_ptr_nonnull(strstr(err.text, "key.pem"));
}
END_TEST

START_TEST(a_key_that_others_can_read_is_refused)
{
    struct err err;

    ck_assert(file_write_atomic("key.pem", 0640, span_of(signatures[0].pem), NULL));
    ck_assert_ptr_null(signing_key_load("key.pem", &err));
    ck_assert_int_eq(err.code, ERR_DENIED);
    ck_assert_ptr_null(signing_key_load("none.pem", &err));
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("crypto");

    tcase_add_checked_fixture(tcase, enter_scratch_folder, leave_scratch_folder);
    tcase_add_test(tcase, sha256_is_as_in_fips_180);
    tcase_add_test(tcase, sha1_is_as_in_fips_180);
    tcase_add_test(tcase, a_stream_hashes_as_the_whole_however_cut);
    tcase_add_loop_test(tcase, hmac_is_as_in_rfc_4231, 0, ARRAY_LEN(macs));
    tcase_add_test(tcase, a_key_taken_in_once_makes_the_same_macs_message_after_message);
    tcase_add_test(tcase, keys_of_any_length_are_used_whole);
    tcase_add_test(tcase, threads_do_not_disturb_each_other);
    tcase_add_loop_test(tcase, ed25519_is_as_in_rfc_8032, 0, ARRAY_LEN(signatures));
    tcase_add_test(tcase, any_flipped_bit_breaks_a_signature);
    tcase_add_test(tcase, a_saved_key_is_private_and_the_same_when_loaded);
    tcase_add_loop_test(tcase, gcm_is_as_published, 0, ARRAY_LEN(gcms));
    tcase_add_test(tcase, what_was_sealed_opens_only_as_it_was);
    tcase_add_test(tcase, a_key_is_never_replaced_by_another);
    tcase_add_test(tcase, the_public_half_verifies_and_does_nothing_else);
    tcase_add_loop_test(tcase, other_keys_are_refused, 0, ARRAY_LEN(bad_keys));
    tcase_add_test(tcase, a_key_that_others_can_read_is_refused);
    return run_tests(tcase, "crypto");
}
