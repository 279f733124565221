// Logits → tokens: guidance, temperature, top-k, top-p, draw; with a mixture also
// softmax((logits·sharper + g)/tau)·codebook.
//
// One block of 256 threads a cell of the token map. Its logits after guidance stay in shared memory, or in
// `work` where the codebook is too large for that. Counts and probabilities are summed as integers or in a
// fixed order, so the same logits give the same token every time.

#define THREADS 256

// Which tokens may be drawn, and where the random numbers come from.
enum Source { GREEDY, SEED, GIVEN };

// Philox4x32 with ten rounds.
__device__ __forceinline__ void philox(u32 (&c)[4], u32 key_0, u32 key_1) {
    for (int round = 0; round < 10; round++) {
        u32 a_high = __umulhi(0xd2511f53u, c[0]), a_low = 0xd2511f53u * c[0];
        u32 b_high = __umulhi(0xcd9e8d57u, c[2]), b_low = 0xcd9e8d57u * c[2];
        c[0] = b_high ^ c[1] ^ key_0;
        c[1] = b_low;
        c[2] = a_high ^ c[3] ^ key_1;
        c[3] = a_low;
        key_0 += 0x9e3779b9u;
        key_1 += 0xbb67ae85u;
    }
}

// The upper 24 bits of a word as a number in 0 .. 1.
__device__ __forceinline__ float uniform(u32 word) { return (float)(word >> 8) / 16777216.0f; }

// A number's bits such that larger numbers have larger bits.
__device__ __forceinline__ u32 ordered(float x) {
    u32 bits = __float_as_uint(x);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

// The sum of x over the threads up to and with this one.
template <class T>
__device__ __forceinline__ T scan(T x, T* between) {
    u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    for (u32 apart = 1; apart < 32; apart *= 2) {
        T before = __shfl_up_sync(~0u, x, apart);
        if (lane >= apart) x += before;
    }
    if (lane == 31) between[warp] = x;
    __syncthreads();
    T sum = 0;
    for (u32 w = 0; w < warp; w++) sum += between[w];
    __syncthreads();
    return sum + x;
}

// What a row's threads share.
struct Row {
    u32 counts[256];
    u64 masses[256];
    u32 warp_counts[8];
    u64 warp_masses[8];
    double warp_sums[8];
    float warp_floats[8];
    u32 bin, rank;
    u64 below;
    u32 token;
};

// Sets every logit below the k-th largest to -infinity: its bits are found a byte at a time, from the top.
__device__ void keep_most_likely(float* x, u32 codes, u32 k, Row& row) {
    u32 prefix = 0, rank = k;
    for (int shift = 24; shift >= 0; shift -= 8) {
        row.counts[threadIdx.x] = 0;
        __syncthreads();
        for (u32 i = threadIdx.x; i < codes; i += THREADS) {
            u32 key = ordered(x[i]);
            if (shift == 24 || key >> (shift + 8) == prefix >> (shift + 8))
                atomicAdd(&row.counts[key >> shift & 255], 1u);
        }
        __syncthreads();
        u32 bin = 255 - threadIdx.x, own = row.counts[bin];
        u32 up_to = scan(own, row.warp_counts);
        if (up_to - own < rank && rank <= up_to) row.bin = bin, row.rank = rank - (up_to - own);
        __syncthreads();
        prefix |= row.bin << shift, rank = row.rank;
        __syncthreads();
    }
    for (u32 i = threadIdx.x; i < codes; i += THREADS)
        if (ordered(x[i]) < prefix) x[i] = -INFINITE;
    __syncthreads();
}

// The largest logit, and the sum of e^(x - largest).
__device__ __forceinline__ void measure(const float* x, u32 codes, Row& row, float& most, float& sum) {
    most = -INFINITE;
    for (u32 i = threadIdx.x; i < codes; i += THREADS) most = fmaxf(most, x[i]);
    most = block_max(most, row.warp_floats);
    sum = 0.0f;
    for (u32 i = threadIdx.x; i < codes; i += THREADS) sum += exponential(x[i] - most);
    sum = block_sum(sum, row.warp_floats);
}

// A probability as an integer: exact for all that a single holds above 2^-38.
#define ONE 4611686018427387904.0
__device__ __forceinline__ u64 mass_of(float probability) { return (u64)(probability * ONE); }

// Sets the least likely logits to -infinity while their probabilities add up to no more than 1 - p; the most
// likely stays. The border's bits are found a byte at a time, from the top.
__device__ void keep_nucleus(float* x, u32 codes, float p, Row& row) {
    float most, sum;
    measure(x, codes, row, most, sum);
    u64 allowed = (u64)(fmax(1.0 - (double)p, 0.0) * ONE), below = 0;
    u32 prefix = 0;
    for (int shift = 24; shift >= 0; shift -= 8) {
        row.counts[threadIdx.x] = 0, row.masses[threadIdx.x] = 0;
        __syncthreads();
        for (u32 i = threadIdx.x; i < codes; i += THREADS) {
            u32 key = ordered(x[i]);
            if (x[i] > -INFINITE && (shift == 24 || key >> (shift + 8) == prefix >> (shift + 8))) {
                atomicAdd(&row.counts[key >> shift & 255], 1u);
                atomicAdd(&row.masses[key >> shift & 255], mass_of(__fdiv_rn(exponential(x[i] - most), sum)));
            }
        }
        __syncthreads();
        u64 own = row.masses[threadIdx.x], up_to = below + scan(own, row.warp_masses);
        u32 count = scan(row.counts[threadIdx.x], row.warp_counts);
        if (threadIdx.x == THREADS - 1) row.rank = count;
        __syncthreads();
        // The border lies where the sum passes what is allowed; if it never does, among the largest.
        bool last = row.counts[threadIdx.x] > 0 && count == row.rank;
        bool passes = up_to > allowed && up_to - own <= allowed && row.counts[threadIdx.x] > 0;
        bool none = !__syncthreads_or(passes);
        if (passes || (none && last)) row.bin = threadIdx.x, row.below = up_to - own;
        __syncthreads();
        prefix |= row.bin << shift, below = row.below;
        __syncthreads();
    }
    // The border is `prefix`. Of equals, those of lower index go first.
    u32 equals = row.counts[prefix & 255];
    u64 mass = equals > 0 ? row.masses[prefix & 255] / equals : 0;
    u32 gone = 0;
    while (gone < equals && below + mass * (gone + 1) <= allowed) gone++;
    if (prefix == ordered(most) && gone == equals) gone--;
    for (u32 i = threadIdx.x; i < codes; i += THREADS)
        if (ordered(x[i]) < prefix) x[i] = -INFINITE;
    __syncthreads();
    if (threadIdx.x == 0) {
        for (u32 i = 0; i < codes && gone > 0; i++)
            if (ordered(x[i]) == prefix) x[i] = -INFINITE, gone--;
    }
    __syncthreads();
}

// The index of the largest logit, the first of equals.
__device__ u32 greedy(const float* x, u32 codes, Row& row) {
    float most = -INFINITE;
    for (u32 i = threadIdx.x; i < codes; i += THREADS) most = fmaxf(most, x[i]);
    most = block_max(most, row.warp_floats);
    if (threadIdx.x == 0) row.token = codes;
    __syncthreads();
    for (u32 i = threadIdx.x; i < codes; i += THREADS) {
        if (x[i] == most) {
            atomicMin(&row.token, i);
            break;
        }
    }
    __syncthreads();
    u32 token = row.token;
    __syncthreads();
    return token < codes ? token : 0;
}

// The smallest index whose running sum of probabilities exceeds u · total. Each thread sums neighbors.
__device__ u32 draw_one(const float* x, u32 codes, float u, Row& row) {
    float most, sum;
    measure(x, codes, row, most, sum);
    u32 each = (codes + THREADS - 1) / THREADS;
    u32 begin = min(threadIdx.x * each, codes), end = min(begin + each, codes);
    auto probability = [&](u32 i) { return __fdiv_rn(exponential(x[i] - most), sum); };
    double own = 0;
    for (u32 i = begin; i < end; i++) own += probability(i);
    double up_to = scan(own, row.warp_sums);
    double total = 0;
    if (threadIdx.x == THREADS - 1) row.warp_sums[0] = up_to;
    if (threadIdx.x == 0) row.token = codes;
    __syncthreads();
    total = row.warp_sums[0];
    double goal = u * total;
    double before = __shfl_up_sync(~0u, up_to, 1u);
    __syncthreads();
    if (threadIdx.x % 32 == 31) row.warp_sums[threadIdx.x / 32] = up_to;
    __syncthreads();
    if (threadIdx.x % 32 == 0) before = threadIdx.x == 0 ? 0.0 : row.warp_sums[threadIdx.x / 32 - 1];
    if (before <= goal && goal < up_to) {
        double running = before;
        u32 token = begin;
        for (u32 i = begin; i < end; i++) {
            float p = probability(i);
            if (p > 0.0f) token = i;
            running += p;
            if (running > goal) break;
        }
        // Of sums that rounding puts out of order two threads may hold the goal: the first has it.
        atomicMin(&row.token, token);
    }
    __syncthreads();
    u32 token = row.token;
    __syncthreads();
    return token < codes ? token : 0;
}

// Gumbel noise of a uniform number; 0 counts as 2^-25.
__device__ __forceinline__ float gumbel(float u) {
    double wide = u > 0.0f ? (double)u : 1.0 / 33554432.0;
    return (float)-log(-log(1.0 - wide));
}

// mail: seed (low, high), then each image's index; numbers: one for each cell with GIVEN.
KERNEL(THREADS) void draw(
    u32* tokens, float* mixture, const float* logits, const float* unconditional, const u32* mail,
    const float* numbers, const float* codebook, float* work, float guidance, float temperature, u32 top_k,
    float top_p, u32 source, u32 scale, u32 positions, u32 codes, u32 width, float sharper, float tau) {
    DYNAMIC_SHARED(shared);
    __shared__ Row row;
    u64 cell = blockIdx.x;
    float* x = work ? work + cell * codes : (float*)shared;
    logits += cell * codes;
    bool strange = false;
    for (u32 i = threadIdx.x; i < codes; i += THREADS) {
        float logit = logits[i];
        if (unconditional)
            logit = __fsub_rn(
                __fmul_rn(__fadd_rn(1.0f, guidance), logit), __fmul_rn(guidance, unconditional[cell * codes + i]));
        logit = __fdiv_rn(logit, temperature);
        x[i] = logit;
        strange |= !(fabsf(logit) < INFINITE);
    }
    // NO_TOKEN, and a mixture of NaN, where a logit is infinite or not a number.
    if (__syncthreads_or(strange)) {
        if (threadIdx.x == 0) tokens[cell] = ~0u;
        if (mixture)
            for (u32 i = threadIdx.x; i < width; i += THREADS)
                mixture[cell * width + i] = __uint_as_float(0x7fffffff);
        return;
    }
    if (top_k > 0 && top_k < codes) keep_most_likely(x, codes, top_k, row);
    if (top_p > 0.0f) keep_nucleus(x, codes, top_p, row);

    u32 image = mail[2 + cell / positions], position = cell % positions;
    u32 token;
    if (source == GREEDY) {
        token = greedy(x, codes, row);
    } else {
        float u;
        if (source == SEED) {
            u32 counter[4] = {position, scale, image, 0};
            philox(counter, mail[0], mail[1]);
            u = uniform(counter[0]);
        } else {
            u = numbers[cell];
        }
        token = draw_one(x, codes, u, row);
    }
    if (threadIdx.x == 0) tokens[cell] = token;
    if (!mixture) return;

    for (u32 i = threadIdx.x; i < codes; i += THREADS) {
        if (x[i] == -INFINITE) continue;
        float noise = 0.0f;
        if (source == SEED) {
            u32 counter[4] = {position, scale, image, 1 + i / 4};
            philox(counter, mail[0], mail[1]);
            noise = gumbel(uniform(counter[i % 4]));
        }
        x[i] = __fdiv_rn(__fadd_rn(__fmul_rn(x[i], sharper), noise), tau);
    }
    __syncthreads();
    float most, sum;
    measure(x, codes, row, most, sum);
    for (u32 i = threadIdx.x; i < codes; i += THREADS) x[i] = __fdiv_rn(exponential(x[i] - most), sum);
    __syncthreads();
    // A lane is a channel; warp w takes codes w, w + 8, …; their sums are added in order of warps.
    __shared__ float sums[8][32];
    u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    for (u32 first = 0; first < width; first += 32) {
        u32 channel = first + lane;
        float part = 0.0f;
        if (channel < width)
            for (u32 i = warp; i < codes; i += 8)
                if (x[i] > 0.0f) part = fmaf(x[i], codebook[(u64)i * width + channel], part);
        sums[warp][lane] = part;
        __syncthreads();
        if (warp == 0 && channel < width) {
            for (int w = 1; w < 8; w++) part += sums[w][lane];
            mixture[cell * width + channel] = part;
        }
        __syncthreads();
    }
}
