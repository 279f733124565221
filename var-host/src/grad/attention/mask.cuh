// Which keys a query sees: all, or those up to the end of its own scale.
struct Mask {
    const u32* ends;  // null: all
    u32 scales;

    // How many keys it sees.
    __device__ __forceinline__ u32 visible(u32 query, u32 keys) const {
        if (!ends) return keys;
        for (u32 scale = 0; scale < scales; scale++)
            if (ends[scale] > query) return ends[scale];
        return keys;
    }

    // The first query that sees a key: the first one of the key's own scale.
    __device__ __forceinline__ u32 first_that_sees(u32 key) const {
        u32 first = 0;
        if (!ends) return first;
        for (u32 scale = 0; scale < scales && ends[scale] <= key; scale++) first = ends[scale];
        return first;
    }
};
