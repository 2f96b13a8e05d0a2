/* A driver's management library without a device: NVML's names, structures and codes, and answers that a test
   sets. What the functions promise is written in NVIDIA's nvml.h; nothing here is a measurement. */

#include <stddef.h>
#include <unistd.h>

#define SUCCESS 0
#define NOT_SUPPORTED 3
#define NO_PERMISSION 4
#define NOT_FOUND 6
#define INSUFFICIENT_SIZE 7
#define LOST 15
#define MOST 128

typedef struct {
    unsigned int pid;
    unsigned long long timeStamp;
    unsigned int smUtil, memUtil, encUtil, decUtil;
} nvmlProcessUtilizationSample_t;

typedef struct {
    unsigned int gpu, memory;
} nvmlUtilization_t;

typedef struct {
    unsigned int pid;
    unsigned long long usedGpuMemory;
    unsigned int gpuInstanceId, computeInstanceId;
} nvmlProcessInfo_t;

/* What a test sets: codes to answer with, and what there is on the first device. */
int init_code, process_code, rates_code, minor_code, device_count = 1, hangs, grows, forgets;
int broken = -1, nameless = -1, refused = -1; /* devices of which one question fails, or is not for us */
int sample_count, computing_count, rate;
nvmlProcessUtilizationSample_t samples[MOST];
unsigned int computing[MOST];
/* What a test reads. */
int inits, shutdowns, questions;
unsigned long long last_seen;

static char devices[4];

int nvmlInit_v2(void) {
    inits++;
    return init_code;
}

int nvmlShutdown(void) {
    shutdowns++;
    return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned int *count) {
    *count = device_count;
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **device) {
    *device = &devices[index];
    return (int)index == refused ? NO_PERMISSION : SUCCESS;
}

int nvmlDeviceGetMinorNumber(void *device, unsigned int *minor) {
    *minor = (unsigned int)((char *)device - devices);
    return (char *)device - devices == nameless ? LOST : minor_code;
}

int nvmlDeviceGetProcessUtilization(void *device, nvmlProcessUtilizationSample_t *found, unsigned int *count,
                                    unsigned long long since) {
    unsigned int room = *count, n = 0;
    questions++;
    while (hangs)
        usleep(10000);
    if ((char *)device - devices == broken)
        return LOST;
    if (process_code)
        return process_code;
    last_seen = since;
    if (found != NULL && grows) { /* somebody else begins between the two calls */
        grows = 0;
        for (; sample_count < 60; sample_count++)
            samples[sample_count] = (nvmlProcessUtilizationSample_t){4000000 + sample_count, samples[0].timeStamp, 1, 0, 0, 0};
    }
    for (int i = 0; device == devices && i < sample_count; i++) {
        if (samples[i].timeStamp <= since && !forgets)
            continue;
        if (found != NULL && n < room)
            found[n] = samples[i];
        n++;
    }
    *count = n;
    if (n == 0)
        return NOT_FOUND;
    return found == NULL || n > room ? INSUFFICIENT_SIZE : SUCCESS;
}

int nvmlDeviceGetUtilizationRates(void *device, nvmlUtilization_t *rates) {
    rates->gpu = device == devices ? rate : 0;
    rates->memory = 0;
    return rates_code;
}

int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned int *count, nvmlProcessInfo_t *found) {
    unsigned int room = *count;
    *count = device == devices ? computing_count : 0;
    if (*count > room)
        return INSUFFICIENT_SIZE;
    for (unsigned int i = 0; i < *count; i++)
        found[i] = (nvmlProcessInfo_t){computing[i], 1 << 20, 0xFFFFFFFF, 0xFFFFFFFF};
    return SUCCESS;
}
