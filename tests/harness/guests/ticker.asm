; The ticker: 512 bytes that print numbered lines, no two of them alike in all boots of a guest, and say what they are
; sent.
;
; Each line is the number of the boot, that of the line in it, and, where a byte has come in, that byte:
;   5f0c23a1 00000042
;   5f0c23a1 00000043 x
; The boot's number is what the processor's clock says at its start, in hexadecimal. A line comes at each tick of the
; timer, 18 in a second. All that goes to the first serial port is written to the second one before: that is for a file,
; which takes everything, whoever is at the first.
;
; Control bytes:
;   ^D  power off through ACPI           ^F  print 16384 lines without waiting for the timer

        bits    16
        cpu     586
        org     0x7c00

COM1            equ     0x3f8           ; data; +1 interrupt enable, +2 FIFO, +4 modem, +5 line status
COM2            equ     0x2f8
LINE_STATUS     equ     COM1 + 5
PIC_COMMAND     equ     0x20
PIC_MASK        equ     0x21
IRQ4_VECTOR     equ     0x0c * 4
PM1A_CONTROL    equ     0x604           ; where SeaBIOS puts it on QEMU's `pc` machine
BIOS_TICKS      equ     0x46c           ; counted by the BIOS at each interrupt of the timer

start:
        cli
        cld
        jmp     0:.here
.here:
        xor     ax, ax
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     sp, 0x7c00

        mov     word [IRQ4_VECTOR], wake
        mov     word [IRQ4_VECTOR + 2], ax
        mov     al, 0xee                ; the timer and the serial port may wake us
        out     PIC_MASK, al

        mov     si, uart_settings       ; pairs of port and value
        mov     cx, 3
.setting:
        lodsw
        xchg    ax, dx
        lodsb
        out     dx, al
        loop    .setting

        rdtsc
        mov     ebx, eax
        mov     di, boot
        mov     cx, 8
.digit:
        rol     ebx, 4
        mov     al, bl
        and     al, 0x0f
        cmp     al, 10                  ; '0' to '9', or 'a' to 'f'
        sbb     ah, ah
        and     ah, 'a' - '0' - 10
        sub     al, ah
        add     al, 'a' - 10
        stosb
        loop    .digit

; Interrupts are off between the looks and `hlt`, so no wake-up is lost.
next:
        cli
        mov     dx, LINE_STATUS
        in      al, dx
        test    al, 0x01
        jnz     byte_came
        mov     ax, [BIOS_TICKS]
        cmp     ax, [told]
        jne     tick
        sti
        hlt
        jmp     next

tick:
        mov     [told], ax
        sti
        call    print_line
        jmp     next

byte_came:
        sti
        mov     dx, COM1
        in      al, dx
        cmp     al, 'D' - '@'
        je      power_off
        cmp     al, 'F' - '@'
        je      flood
        mov     [came], al
        mov     byte [behind_number], ' '
        call    print_line
        mov     byte [behind_number], 0
        jmp     next

power_off:
        mov     dx, PM1A_CONTROL
        mov     ax, 0x2000              ; SLP_EN with sleep type 0: soft off
        out     dx, ax
        cli
        hlt

flood:
        mov     cx, 16384
.line:
        call    print_line
        loop    .line
        jmp     next

; Prints the line and counts.
print_line:
        mov     si, boot
        call    print
        mov     si, behind_number
        call    print
        mov     si, end_of_line
        call    print
        mov     di, last_digit
.carry:
        inc     byte [di]
        cmp     byte [di], '9'
        jbe     .counted
        mov     byte [di], '0'
        dec     di
        jmp     .carry
.counted:
        ret

; Prints the zero-terminated string at si: each byte to the file, then to the port, once that has room for it.
print:
        lodsb
        test    al, al
        jz      .done
        mov     dx, COM2
        out     dx, al
        mov     ah, al
        mov     dx, LINE_STATUS
.full:
        in      al, dx
        test    al, 0x20
        jz      .full
        mov     al, ah
        mov     dx, COM1
        out     dx, al
        jmp     print
.done:
        ret

; The interrupt's whole work is to end a `hlt`.
wake:
        push    ax
        mov     al, 0x20
        out     PIC_COMMAND, al
        pop     ax
        iret

uart_settings:
        dw      COM1 + 2
        db      0x07                    ; FIFOs on and empty
        dw      COM1 + 4
        db      0x0b                    ; OUT2 lets the interrupt through
        dw      COM1 + 1
        db      0x01                    ; interrupt when a byte arrives

told:           dw      0
boot:           db      '00000000 00000001'
last_digit      equ     $ - 1
                db      0
behind_number:  db      0               ; a space, where a byte came in
came:           db      0, 0
end_of_line:    db      13, 10, 0

        times   510 - ($ - $$) db 0
        dw      0xaa55
