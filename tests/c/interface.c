/* Every call of varimage.h, right and wrong. With arguments `draw SEED CLASS` an image on stdout, as PPM; with `time` that of one; with
 * `race` two threads use one model. */
#include "common.h"
#include "varimage.h"

static void fails(var_status status, var_status wanted, const char *text) {
    if (status != wanted || !strstr(var_error(), text)) {
        fprintf(stderr, "status %d, text \"%s\"; wanted %d, \"%s\"\n", status, var_error(), wanted, text);
        abort();
    }
}

static var_model *opened(const var_options *options) {
    var_model *model = NULL;
    var_status status = var_open(NULL, options, &model);
    if (status) fprintf(stderr, "%s\n", var_error());
    assert(status == VAR_OK && model);
    return model;
}

static var_info sizes(const var_model *model) {
    var_info info;
    memset(&info, 0, sizeof info);
    info.size = sizeof info;
    assert(var_get_info(model, &info) == VAR_OK);
    return info;
}

static size_t length(const var_model *model) {
    return 3 * (size_t)sizes(model).side * sizes(model).side;
}

static uint8_t *drawn(var_model *model, uint64_t seed, uint32_t class_number, uint32_t *tokens) {
    var_sampling sampling;
    assert(var_sampling_init(&sampling) == VAR_OK);
    sampling.seed = seed;
    uint8_t *rgb = (uint8_t *)malloc(length(model));
    size_t count = tokens ? sizes(model).tokens : 0;
    assert(var_sample(model, &sampling, &class_number, 1, rgb, length(model), tokens, count) == VAR_OK);
    return rgb;
}

static int draw(const char *seed, const char *class_number) {
    var_model *model = opened(NULL);
    uint8_t *rgb = drawn(model, strtoull(seed, NULL, 10), (uint32_t)atoi(class_number), NULL);
    printf("P6 %u %u 255\n", sizes(model).side, sizes(model).side);
    fwrite(rgb, 1, length(model), stdout);
    free(rgb);
    var_close(model);
    return 0;
}

/* Stops after a scale, and keeps its tokens and images. */
typedef struct {
    uint32_t last, calls, tokens;
    size_t length;
    uint8_t *rgb;
} Watch;

/* Sides of the built-in model's token maps. */
static const uint32_t SIDES[] = {1, 2, 3, 4, 6, 8};

static int watch(void *user, var_progress *progress) {
    Watch *seen = (Watch *)user;
    uint32_t map[64];
    assert(var_progress_scale(progress) == seen->calls++);
    assert(var_progress_images(progress) == 1 && var_progress_index(progress, 0) == 0);
    assert(var_progress_index(progress, 1) == UINT32_MAX);
    uint32_t side = SIDES[var_progress_scale(progress)];
    assert(var_progress_tokens(progress, 0, map, side * side) == VAR_OK);
    seen->tokens += side * side;
    fails(var_progress_tokens(progress, 0, map, 63), VAR_ARGUMENT, "63");
    fails(var_progress_tokens(progress, 1, map, 1), VAR_ARGUMENT, "image 1 of 1");
    assert(var_progress_image(progress, 0, seen->rgb, seen->length) == VAR_OK);
    fails(var_progress_image(progress, 0, NULL, seen->length), VAR_ARGUMENT, "rgb is null");
    return var_progress_scale(progress) == seen->last;
}

static void scales(var_model *model) {
    uint32_t class_number = 3, scale;
    uint8_t *rgb = (uint8_t *)malloc(length(model)), *whole = drawn(model, 5, class_number, NULL);
    for (scale = 0; scale < sizes(model).scales; scale++) {
        Watch seen = {scale, 0, 0, length(model), (uint8_t *)malloc(length(model))};
        var_sampling sampling;
        var_sampling_init(&sampling);
        sampling.seed = 5, sampling.on_scale = watch, sampling.user = &seen;
        var_status status = var_sample(model, &sampling, &class_number, 1, rgb, length(model), NULL, 0);
        assert(seen.calls == scale + 1 && status == VAR_STOPPED);
        if (scale + 1 == sizes(model).scales) {
            assert(seen.tokens == sizes(model).tokens && !memcmp(seen.rgb, whole, length(model)));
        }
        free(seen.rgb);
    }
    free(rgb), free(whole);
}

static void codec(var_model *model) {
    uint32_t count = sizes(model).tokens, side = sizes(model).side, i, classes[] = {3, 7};
    uint32_t *tokens = (uint32_t *)malloc(count * sizeof *tokens), *again = (uint32_t *)malloc(count * sizeof *again);
    uint8_t *rgb = drawn(model, 5, 3, tokens), *out = (uint8_t *)malloc(length(model)), *back = (uint8_t *)malloc(length(model));
    float *logits = (float *)malloc((size_t)count * sizes(model).codes * sizeof *logits);
    double nats[2] = {0, 0};
    assert(var_decode(model, tokens, count, out, length(model)) == VAR_OK && !memcmp(out, rgb, length(model)));
    assert(var_encode(model, rgb, side, side, again, count) == VAR_OK);
    assert(var_decode(model, again, count, out, length(model)) == VAR_OK);
    assert(var_reconstruct(model, rgb, side, side, back, length(model)) == VAR_OK && !memcmp(out, back, length(model)));
    assert(var_score(model, rgb, side, side, classes, 2, nats) == VAR_OK && nats[0] < 0 && nats[0] > nats[1]);
    assert(var_logits(model, tokens, count, 3, logits, (size_t)count * sizes(model).codes) == VAR_OK);
    /* The upper half is kept, the lower drawn anew. */
    const float region[4] = {0.5f, 0, 1, 1};
    assert(var_edit(model, NULL, rgb, side, side, region, 0, 7, out, length(model)) == VAR_OK);
    assert(memcmp(out, back, length(model)));

    tokens[0] = sizes(model).codes;
    fails(var_decode(model, tokens, count, out, length(model)), VAR_ARGUMENT, "token");
    fails(var_decode(model, tokens, 7, out, length(model)), VAR_ARGUMENT, "7 tokens");
    fails(var_decode(model, NULL, count, out, length(model)), VAR_ARGUMENT, "tokens is null");
    fails(var_decode(model, tokens, count, out, 5), VAR_ARGUMENT, "room for 5 values");
    fails(var_encode(model, rgb, 0, side, again, count), VAR_ARGUMENT, "0 \303\227");
    fails(var_encode(model, rgb, UINT32_MAX, UINT32_MAX, again, count), VAR_ARGUMENT, "pixels");
    fails(var_encode(model, NULL, side, side, again, count), VAR_ARGUMENT, "rgb is null");
    fails(var_encode(NULL, rgb, side, side, again, count), VAR_ARGUMENT, "model is null");
    classes[1] = 58;
    fails(var_score(model, rgb, side, side, classes, 2, nats), VAR_ARGUMENT, "class 58");
    fails(var_score(model, rgb, side, side, classes, 2, NULL), VAR_ARGUMENT, "nats is null");
    fails(var_logits(model, again, count, 99, logits, (size_t)count * sizes(model).codes), VAR_ARGUMENT, "class 99");
    const float turned[4] = {0.5f, 0, 0.25f, 1}, nothing[4] = {0, 0, 0.01f, 0.01f};
    fails(var_edit(model, NULL, rgb, side, side, turned, 0, 7, out, length(model)), VAR_ARGUMENT, "region");
    fails(var_edit(model, NULL, rgb, side, side, nothing, 0, 7, out, length(model)), VAR_ARGUMENT, "too small");
    fails(var_edit(model, NULL, rgb, side, side, region, 2, 7, out, length(model)), VAR_ARGUMENT, "outside is 2");
    fails(var_edit(model, NULL, rgb, side, side, NULL, 0, 7, out, length(model)), VAR_ARGUMENT, "region is null");
    for (i = 0; i < 2; i++) { /* usable after all that */
        uint8_t *other = drawn(model, 5, 3, NULL);
        assert(!memcmp(other, rgb, length(model)));
        free(other);
    }
    free(tokens), free(again), free(rgb), free(out), free(back), free(logits);
}

/* Nothing is drawn: quick under valgrind. */
static void refusals(var_model *model) {
    uint32_t classes[] = {3, 99}, first = 3;
    size_t one = length(model);
    uint8_t *rgb = (uint8_t *)malloc(2 * one);
    var_sampling sampling;
    fails(var_sample(NULL, NULL, classes, 1, rgb, one, NULL, 0), VAR_ARGUMENT, "model is null");
    fails(var_sample(model, NULL, NULL, 1, rgb, one, NULL, 0), VAR_ARGUMENT, "classes is null");
    fails(var_sample(model, NULL, &first, 1, NULL, one, NULL, 0), VAR_ARGUMENT, "rgb is null");
    fails(var_sample(model, NULL, &first, 1, rgb, one - 1, NULL, 0), VAR_ARGUMENT, "room for");
    fails(var_sample(model, NULL, classes, 2, rgb, 2 * one, NULL, 0), VAR_ARGUMENT, "class 99");
    fails(var_sample(model, NULL, classes, SIZE_MAX, rgb, one, NULL, 0), VAR_ARGUMENT, "at most");
    fails(var_sample(model, NULL, (const uint32_t *)(const void *)((const char *)classes + 1), 1, rgb, one, NULL, 0), VAR_ARGUMENT,
          "aligned");
    assert(var_sample(model, NULL, NULL, 0, NULL, 0, NULL, 0) == VAR_OK);
    var_model *other = NULL;
    fails(var_open("there/is/none", NULL, &other), VAR_FILE, "No such file");
    fails(var_open_memory((const uint8_t *)"no model", 8, NULL, &other), VAR_MODEL, "");
    assert(!other);
    var_sampling_init(&sampling);
    sampling.batch = 0;
    fails(var_sample(model, &sampling, &first, 1, rgb, one, NULL, 0), VAR_ARGUMENT, "batch is 0");
    var_sampling_init(&sampling);
    sampling.top_p = 2;
    fails(var_sample(model, &sampling, &first, 1, rgb, one, NULL, 0), VAR_ARGUMENT, "top_p is 2");
    var_sampling_init(&sampling);
    sampling.temperature = 0;
    fails(var_sample(model, &sampling, &first, 1, rgb, one, NULL, 0), VAR_ARGUMENT, "temperature is 0, 0.01 to 100");
    var_sampling_init(&sampling);
    sampling.reserved = 1;
    fails(var_sample(model, &sampling, &first, 1, rgb, one, NULL, 0), VAR_ARGUMENT, "reserved is 1");
    free(rgb);
}

static void samples(var_model *model) {
    uint32_t classes[] = {3, 4}, first = 3;
    size_t one = length(model);
    uint8_t *rgb = (uint8_t *)malloc(2 * one);
    var_sampling sampling;
    var_sampling_init(&sampling);
    sampling.first_index = UINT32_MAX;
    assert(var_sample(model, &sampling, &first, 1, rgb, one, NULL, 0) == VAR_OK);
    fails(var_sample(model, &sampling, classes, 2, rgb, 2 * one, NULL, 0), VAR_ARGUMENT, "first_index");
    /* Structures of other versions. */
    memset(&sampling, 0, sizeof sampling);
    fails(var_sample(model, &sampling, &first, 1, rgb, one, NULL, 0), VAR_ARGUMENT, "size is 0");
    struct {
        var_sampling known;
        uint64_t more;
    } newer;
    var_sampling_init_sized(&newer.known, sizeof newer);
    uint8_t *plain = drawn(model, 0, 3, NULL);
    assert(var_sample(model, &newer.known, &first, 1, rgb, one, NULL, 0) == VAR_OK && !memcmp(rgb, plain, one));
    newer.more = 1;
    fails(var_sample(model, &newer.known, &first, 1, rgb, one, NULL, 0), VAR_ARGUMENT, "not zero");
    var_sampling_init(&sampling);
    sampling.size = offsetof(var_sampling, top_p);
    sampling.top_p = -1; /* beyond an older caller's structure */
    assert(var_sample(model, &sampling, &first, 1, rgb, one, NULL, 0) == VAR_OK && !memcmp(rgb, plain, one));
    var_sampling_init(&sampling);
    sampling.size = offsetof(var_sampling, temperature); /* a caller of before there was a temperature */
    assert(var_sample(model, &sampling, &first, 1, rgb, one, NULL, 0) == VAR_OK && !memcmp(rgb, plain, one));
    var_sampling_init(&sampling);
    sampling.temperature = 4;
    assert(var_sample(model, &sampling, &first, 1, rgb, one, NULL, 0) == VAR_OK && memcmp(rgb, plain, one));
    free(rgb), free(plain);
}

static void files(const char *path) {
    var_model *model = (var_model *)1;
    var_options options;
    fails(var_open("there/is/none", NULL, &model), VAR_FILE, "No such file");
    assert(!model);
    fails(var_open(path, NULL, NULL), VAR_ARGUMENT, "out is null");
    var_options_init(&options);
    options.isa = "mmx";
    fails(var_open(path, &options, &model), VAR_ARGUMENT, "isa mmx");
    var_options_init(&options);
    options.device = "cuda:x";
    fails(var_open(path, &options, &model), VAR_ARGUMENT, "device cuda:x");
    options.device = "cpu", options.precision = "f16";
    fails(var_open(path, &options, &model), VAR_ARGUMENT, "precision");
    var_options_init(&options);
    options.scratch_kib = 1;
    fails(var_open(path, &options, &model), VAR_ARGUMENT, "scratch_kib is 1");
    var_options_init(&options);
    options.vae_path = "there/is/none";
    fails(var_open(path, &options, &model), VAR_FILE, "there/is/none");
    fails(var_open_memory((const uint8_t *)"", 0, &options, &model), VAR_ARGUMENT, "vae_path");
    fails(var_open_memory(NULL, 9, NULL, &model), VAR_ARGUMENT, "bytes is null");

    FILE *file = fopen(path, "rb");
    assert(file);
    fseek(file, 0, SEEK_END);
    size_t size = (size_t)ftell(file), cut;
    rewind(file);
    uint8_t *bytes = (uint8_t *)malloc(size + 1);
    assert(fread(bytes + 1, 1, size, file) == size);
    fclose(file);
    for (cut = 0; cut < 12; cut++) { /* truncated */
        var_status status = var_open_memory(bytes + 1, size * cut / 12, NULL, &model);
        assert(status < 0 && !model && *var_error());
    }
    /* At an odd address, too. */
    assert(var_open_memory(bytes + 1, size, NULL, &model) == VAR_OK);
    var_model *own = opened(NULL), *mapped = NULL;
    assert(var_open(path, NULL, &mapped) == VAR_OK);
    uint8_t *a = drawn(model, 9, 2, NULL), *b = drawn(own, 9, 2, NULL), *c = drawn(mapped, 9, 2, NULL);
    assert(!memcmp(a, b, length(model)) && !memcmp(a, c, length(model)));
    free(a), free(b), free(c);
    var_close(model), var_close(own), var_close(mapped), var_close(NULL);
    free(bytes);

    model = opened(NULL);
    char name[64] = "before", cut_name[4];
    fprintf(stderr, "%u classes, %u named\n", sizes(model).classes, sizes(model).named_classes);
    size_t named = var_class_name(model, 8, name, sizeof name);
    assert(named == strlen(name) || !named);
    if (named > 3) assert(var_class_name(model, 8, cut_name, sizeof cut_name) == named && !strncmp(name, cut_name, 3));
    assert(var_class_name(model, 1000, name, sizeof name) == 0);
    var_info info;
    info.size = 1;
    fails(var_get_info(model, &info), VAR_ARGUMENT, "size is 1");
    fails(var_get_info(NULL, &info), VAR_ARGUMENT, "model is null");
    fails(var_get_info(model, NULL), VAR_ARGUMENT, "info is null");
    var_close(model);
}

static void one_by_one(void *pool, size_t tasks, void (*task)(void *, size_t), void *context) {
    size_t i;
    ++*(int *)pool;
    for (i = tasks; i-- > 0;) task(context, i);
}

static void *in_a_thread(void *user) {
    var_model *model = (var_model *)user;
    scales(model);
    uint8_t *rgb = drawn(model, 5, 3, NULL);
    fails(var_sample(model, NULL, NULL, 7, rgb, 1, NULL, 0), VAR_ARGUMENT, "7 values");
    return rgb;
}

static void threads(void) {
    var_options options;
    var_model *model = opened(NULL), *other = opened(NULL);
    uint8_t *rgb = drawn(model, 5, 3, NULL), *mine;
    int runs = 0;
    size_t i;
    const var_parallel pools[] = {by_threads, one_by_one};
    for (i = 0; i < 2; i++) {
        var_options_init(&options);
        options.parallel = pools[i], options.pool = &runs;
        var_model *lent = NULL;
        fails(var_open(NULL, &options, &lent), VAR_ARGUMENT, "threads is 0");
        options.threads = 3;
        lent = opened(&options);
        mine = drawn(lent, 5, 3, NULL);
        assert(!memcmp(mine, rgb, length(model)) && runs > 0);
        free(mine);
        var_close(lent);
    }
    pthread_t thread;
    void *theirs = NULL;
    assert(!pthread_create(&thread, NULL, in_a_thread, other));
    mine = (uint8_t *)in_a_thread(model);
    pthread_join(thread, &theirs);
    assert(!memcmp(mine, rgb, length(model)) && !memcmp(theirs, rgb, length(model)));
    free(mine), free(theirs), free(rgb);
    var_close(model), var_close(other);
}

static void *again(void *user) {
    int turn;
    for (turn = 0; turn < 3; turn++) free(drawn((var_model *)user, 5, 3, NULL));
    return NULL;
}

/* Two threads on one model, which is not allowed: ThreadSanitizer has to see it. */
static int race(void) {
    var_options options;
    var_options_init(&options);
    options.threads = 1;
    var_model *model = opened(&options);
    pthread_t thread;
    assert(!pthread_create(&thread, NULL, again, model));
    again(model);
    pthread_join(thread, NULL);
    var_close(model);
    return 0;
}

static void memory(void) {
    var_model *model = opened(NULL);
    uint32_t classes[] = {3, 8, 5}, *tokens = (uint32_t *)malloc(sizes(model).tokens * sizeof *tokens), side = sizes(model).side;
    size_t one = length(model), bytes = 0, codec_bytes = 0;
    uint8_t *rgb = (uint8_t *)malloc(3 * one), *lent = (uint8_t *)malloc(3 * one);
    double nats;
    var_sampling sampling;
    var_sampling_init(&sampling);
    sampling.batch = 2;
    assert(var_sample(model, &sampling, classes, 3, rgb, 3 * one, NULL, 0) == VAR_OK);
    assert(var_workspace(model, NULL, NULL, 0, &codec_bytes) == VAR_OK);
    assert(var_workspace(model, &sampling, classes, 3, &bytes) == VAR_OK && bytes >= codec_bytes && codec_bytes > 1000);
    float *space = (float *)malloc(bytes);
    assert(var_lend_memory(model, space, bytes) == VAR_OK);
    assert(var_sample(model, &sampling, classes, 3, lent, 3 * one, NULL, 0) == VAR_OK && !memcmp(lent, rgb, 3 * one));
    assert(var_encode(model, rgb, side, side, tokens, sizes(model).tokens) == VAR_OK);
    assert(var_decode(model, tokens, sizes(model).tokens, lent, one) == VAR_OK);
    assert(var_score(model, rgb, side, side, classes, 1, &nats) == VAR_OK);
    const float region[4] = {0.5f, 0, 1, 1};
    assert(var_edit(model, &sampling, rgb, side, side, region, 0, 8, lent, one) == VAR_OK);
    sampling.batch = 3;
    fails(var_sample(model, &sampling, classes, 3, lent, 3 * one, NULL, 0), VAR_MEMORY, "lent");
    assert(var_lend_memory(model, space, 100) == VAR_OK);
    fails(var_decode(model, tokens, sizes(model).tokens, lent, one), VAR_MEMORY, "100 lent");
    fails(var_lend_memory(model, NULL, 8), VAR_ARGUMENT, "memory is null");
    fails(var_lend_memory(model, (float *)(void *)((char *)space + 1), 8), VAR_ARGUMENT, "aligned");
    fails(var_lend_memory(NULL, space, 8), VAR_ARGUMENT, "model is null");
    fails(var_workspace(model, NULL, classes, 3, NULL), VAR_ARGUMENT, "bytes is null");
    assert(var_lend_memory(model, NULL, 0) == VAR_OK);
    free(space);
    assert(var_sample(model, &sampling, classes, 3, lent, 3 * one, NULL, 0) == VAR_OK && !memcmp(lent, rgb, 3 * one));
    free(rgb), free(lent), free(tokens);
    var_close(model);
}

/* The least time of one image on one thread, in milliseconds. */
static int measured(void) {
    var_options options;
    var_options_init(&options);
    options.threads = 1;
    var_model *model = opened(&options);
    double least = 1e9;
    int turn;
    for (turn = 0; turn < 40; turn++) {
        double start = now();
        free(drawn(model, 5, 3, NULL));
        double time = now() - start;
        if (time < least) least = time;
    }
    printf("%.1f\n", least);
    var_close(model);
    return 0;
}

static void version(void) {
    char header[32];
    snprintf(header, sizeof header, "%d.%d.%d", VAR_VERSION_MAJOR, VAR_VERSION_MINOR, VAR_VERSION_PATCH);
    assert(!strcmp(var_version(), header));
}

int main(int count, char **arguments) {
    if (count == 2 && !strcmp(arguments[1], "time")) return measured();
    if (count == 2 && !strcmp(arguments[1], "race")) return race();
    if (count == 4 && !strcmp(arguments[1], "draw")) return draw(arguments[2], arguments[3]);
    if (count == 2 && !strcmp(arguments[1], "brief")) {
        var_model *model = opened(NULL);
        refusals(model);
        free(drawn(model, 5, 3, NULL));
        var_close(model);
        puts("all is well");
        return 0;
    }
    assert(count == 2 && !*var_error());
    version();
    assert(var_progress_scale(NULL) == 0 && var_progress_images(NULL) == 0);
    fails(var_options_init(NULL), VAR_ARGUMENT, "var_options is null");
    var_options options;
    fails(var_options_init_sized(&options, 3), VAR_ARGUMENT, "3 bytes");
    var_model *model = opened(NULL);
    refusals(model);
    files(arguments[1]);
    samples(model);
    scales(model);
    codec(model);
    var_close(model);
    threads();
    memory();
    puts("all is well");
    return 0;
}
