void f(void) {
    clFinish(0);
}
